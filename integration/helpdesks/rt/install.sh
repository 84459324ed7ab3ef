#!/bin/sh
# Puts the extension RT-Extension-TicketElevate into a Request Tracker 5. May be run again: to update it, or to change an address.
set -eu

usage() {
    cat <<'USAGE'
Usage: install.sh --webhook URL --page URL [options]

  --webhook URL          where Ticket Elevate listens, such as https://elevate.example.org/webhooks/rt
  --page URL             the Elevate page of a ticket, with {ticket} in it
  --secret-file FILE     holds the signing secret (whsec_...); made, with a new secret, if it is not there
                         [/etc/request-tracker5/ticket-elevate.secret]
  --queue NAME           only tickets of this queue; may be given several times [all queues]
  --ca-bundle FILE       certificates to trust for --webhook [the system's]
  --owner USER           the user that RT's web server runs as [www-data]
  --plugins DIR          [/usr/local/share/request-tracker5/plugins]
  --site-config-dir DIR  [/etc/request-tracker5/RT_SiteConfig.d]
  --setup-database FILE  [rt-setup-database-5, or /opt/rt5/sbin/rt-setup-database]
USAGE
}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

webhook='' page='' queues='' ca_bundle='' owner=www-data setup_database=''
secret_file=/etc/request-tracker5/ticket-elevate.secret
plugins=/usr/local/share/request-tracker5/plugins
site_config_dir=/etc/request-tracker5/RT_SiteConfig.d
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --*) [ $# -ge 2 ] || fail "$1 needs a value. See install.sh --help." ;;
        *) fail "'$1' is not an option. See install.sh --help." ;;
    esac
    # These values become Perl strings in RT's settings.
    case $2 in *[\'\\]*) fail "the value of $1 must not hold quotes or backslashes." ;; esac
    case $1 in
        --webhook) webhook=$2 ;;
        --page) page=$2 ;;
        --secret-file) secret_file=$2 ;;
        --queue) queues="${queues:+$queues,}$2" ;;
        --ca-bundle) ca_bundle=$2 ;;
        --owner) owner=$2 ;;
        --plugins) plugins=$2 ;;
        --site-config-dir) site_config_dir=$2 ;;
        --setup-database) setup_database=$2 ;;
        *) fail "'$1' is not an option. See install.sh --help." ;;
    esac
    shift 2
done

here=$(cd "$(dirname "$0")" && pwd)
case $webhook in http://* | https://*) ;; *) fail "--webhook must be an http(s) address." ;; esac
case $page in http://*'{ticket}'* | https://*'{ticket}'*) ;; *) fail "--page must be an http(s) address with {ticket} in it." ;; esac
command -v curl >/dev/null || fail "curl is missing: it sends the messages. Install it (Debian: apt-get install curl)."
command -v perl >/dev/null || fail "perl is missing: is this the machine that Request Tracker runs on?"
id "$owner" >/dev/null 2>&1 || fail "there is no user '$owner' here: name the web server's user with --owner."
[ -d "$site_config_dir" ] || fail "there is no folder $site_config_dir: name RT_SiteConfig.d with --site-config-dir."
[ -z "$ca_bundle" ] || [ -r "$ca_bundle" ] || fail "cannot read $ca_bundle (--ca-bundle)."
if [ -z "$setup_database" ]; then
    for candidate in rt-setup-database-5 /opt/rt5/sbin/rt-setup-database; do
        if command -v "$candidate" >/dev/null; then setup_database=$candidate; break; fi
    done
    [ -n "$setup_database" ] || fail "cannot find rt-setup-database: name it with --setup-database."
fi

new_secret=''
if [ ! -e "$secret_file" ]; then
    new_secret=yes
    (
        umask 377
        perl -MMIME::Base64 -e 'open my $r, "<:raw", "/dev/urandom" or die; read($r, my $s, 32) == 32 or die;
            print "whsec_", encode_base64($s, ""), "\n"' >"$secret_file"
    ) || fail "cannot write $secret_file: are you root?"
fi
grep -Eq '^whsec_[A-Za-z0-9+/]{32,}=*$' "$secret_file" || fail "$secret_file does not hold one line 'whsec_...' of at least 24 bytes."
chown "$owner" "$secret_file" && chmod 0400 "$secret_file" || fail "cannot give $secret_file to $owner: are you root?"

mkdir -p "$plugins"
rm -rf "$plugins/RT-Extension-TicketElevate"
cp -R "$here/RT-Extension-TicketElevate" "$plugins/"
chmod -R a+rX "$plugins/RT-Extension-TicketElevate"
echo "The extension is in $plugins/RT-Extension-TicketElevate."

{
    echo "# Written by Ticket Elevate's install.sh. Addresses and paths only: RT shows these to every SuperUser."
    # Twice in the list, and RT's log fills with complaints.
    echo "Plugin('RT::Extension::TicketElevate') unless grep { \$_ eq 'RT::Extension::TicketElevate' } @RT::Plugins;"
    echo "Set(\$TicketElevateWebhook, '$webhook');"
    echo "Set(\$TicketElevateSecretFile, '$secret_file');"
    echo "Set(\$TicketElevatePage, '$page');"
    [ -z "$ca_bundle" ] || echo "Set(\$TicketElevateCABundle, '$ca_bundle');"
    echo "1;"
} >"$site_config_dir/90-ticket-elevate.pm"
chmod a+r "$site_config_dir/90-ticket-elevate.pm"
echo "The settings are in $site_config_dir/90-ticket-elevate.pm."

TICKET_ELEVATE_QUEUES=$queues "$setup_database" --action insert \
    --datafile "$plugins/RT-Extension-TicketElevate/etc/initialdata" ||
    fail "the scrips could not be put into RT's database; what rt-setup-database said stands above."
echo "The scrips are in RT's database (Admin > Scrips: 'On Owner Change tell Ticket Elevate', and one for the status)."

[ -z "$new_secret" ] || echo "A new signing secret is in $secret_file. Copy it into Ticket Elevate's settings (secrets)."
echo "Now restart RT's web server, so that it reads all this. Then take a ticket and look into Ticket Elevate's log."
