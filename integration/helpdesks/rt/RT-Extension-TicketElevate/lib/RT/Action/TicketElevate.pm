package RT::Action::TicketElevate;

use strict;
use warnings;
use base 'RT::Action';

use Digest::SHA ();
use File::Basename ();
use File::Temp ();
use JSON ();
use MIME::Base64 ();
use POSIX ();

# RT runs this inside the technician's click and inside the open database transaction, and never tries again. So it only
# writes a small signed message to disk and leaves a detached process behind that sends it: a receiver that is slow or
# down costs the technician nothing, and by the time the receiver reads the ticket back, the transaction is committed.

sub Prepare { return 1 }

sub Commit {
    my $self = shift;
    # A scrip must never stand in the way of the ticket, so whatever goes wrong here ends in RT's log.
    my $sent = eval { _send( $self->TicketObj, $self->TransactionObj ); 1 };
    RT->Logger->error("Ticket Elevate was not told of this change: $@") unless $sent;
    return 1;
}

sub _send {
    my ( $ticket, $transaction ) = @_;
    my $url = RT->Config->Get('TicketElevateWebhook') || '';
    $url =~ m{^https?://[^\s"\\]+$} or die "\$TicketElevateWebhook is not an http(s) address\n";

    # A database that was restored from a backup gives transaction ids out a second time: the time tells them apart.
    my $id   = join '-', 'rt', $transaction->id, $transaction->CreatedObj->Unix;
    my $body = JSON->new->utf8->canonical->encode(
        {   event       => _event($transaction),
            ticket      => '' . $ticket->id,
            transaction => '' . $transaction->id,
            actor       => '' . $transaction->CreatorObj->Name,
        }
    );
    my $now = time;
    _leave_to_a_process_of_its_own( $url, $body, $id, $now, _signature( $id, $now, $body ) );
    return;
}

sub _event {
    my $transaction = shift;
    my $field = $transaction->Field || '';
    return
          $field eq 'Owner'  ? 'ticket.owner_changed'
        : $field eq 'Status' ? 'ticket.status_changed'
        :                      'ticket.changed';
}

# Standard Webhooks: base64 of HMAC-SHA256 over "id.time.body"; https://github.com/standard-webhooks/standard-webhooks
sub _signature {
    my ( $id, $now, $body ) = @_;
    my $mac = Digest::SHA::hmac_sha256( "$id.$now.$body", _secret() );
    return 'v1,' . MIME::Base64::encode_base64( $mac, '' );
}

sub _secret {
    my $path = RT->Config->Get('TicketElevateSecretFile') || '';
    open my $file, '<', $path or die "cannot read the secret file '$path': $!\n";
    my $mode = ( stat $file )[2];
    die "the secret file '$path' can be read by others; run: chmod 0400 $path\n" if $mode & oct 77;
    my $line = <$file>;
    close $file;
    my ($text) = ( $line // '' ) =~ /^\s*whsec_([A-Za-z0-9+\/]+=*)\s*$/
        or die "the secret file '$path' does not hold one line 'whsec_...'\n";
    my $secret = MIME::Base64::decode_base64($text);
    die "the secret in '$path' is shorter than 24 bytes\n" if length $secret < 24;
    return $secret;
}

sub _leave_to_a_process_of_its_own {
    my ( $url, $body, $id, $now, $signature ) = @_;
    my $folder = File::Temp::tempdir( 'ticket-elevate-XXXXXXXX', TMPDIR => 1 );    # 0700, removed by the sender
    _write( "$folder/body", $body );
    _write( "$folder/headers", "Content-Type: application/json\n"
            . "webhook-id: $id\nwebhook-timestamp: $now\nwebhook-signature: $signature\n" );
    my $plugin = File::Basename::dirname(__FILE__) . '/../../..';
    my @command = ( '/bin/sh', "$plugin/sbin/deliver", $folder, $url, RT->Config->Get('TicketElevateCABundle') || '' );

    local $SIG{CHLD} = 'DEFAULT';
    my $child = fork;
    defined $child or die "cannot start a process: $!\n";
    if ( !$child ) {
        # Nothing of RT's may run in here (a destroyed database handle would end the parent's transaction), and nothing of
        # it may stay open (a web server waits for the last holder of a connection).
        POSIX::setsid();
        my $grandchild = fork;
        POSIX::_exit(0) if !defined $grandchild or $grandchild;
        POSIX::close($_) for 0 .. 1023;
        POSIX::open( '/dev/null', POSIX::O_RDWR() );
        POSIX::dup2( 0, $_ ) for 1, 2;
        { no warnings 'exec'; exec {'/bin/sh'} @command; }
        POSIX::_exit(127);
    }
    waitpid $child, 0;
    return;
}

sub _write {
    my ( $path, $text ) = @_;
    open my $file, '>:raw', $path or die "cannot write '$path': $!\n";
    print {$file} $text;
    close $file or die "cannot write '$path': $!\n";
    return;
}

1;
