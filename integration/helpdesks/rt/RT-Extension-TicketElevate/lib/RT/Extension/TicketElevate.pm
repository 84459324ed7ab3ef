package RT::Extension::TicketElevate;

use strict;
use warnings;

our $VERSION = '1.0';

=head1 NAME

RT::Extension::TicketElevate - tells Ticket Elevate when a ticket is taken or solved, and shows the Elevate button

=head1 SETTINGS

All of them are addresses and paths, so that the page Admin > Tools > System Configuration, which shows every setting to
every SuperUser, shows no secret:

    Set($TicketElevateWebhook,    'https://elevate.example.org/webhooks/rt');
    Set($TicketElevateSecretFile, '/etc/request-tracker5/ticket-elevate.secret');   # mode 0400, of the web server's user
    Set($TicketElevatePage,       'https://elevate.example.org/elevate/rt/{ticket}');
    Set($TicketElevateCABundle,   '/etc/ssl/our-own-ca.pem');                       # only with a CA of your own

=cut

# The address of a ticket's Elevate page, for the person who owns it; nothing for everybody else.
sub PageFor {
    my ( $ticket, $user ) = @_;
    my $page = RT->Config->Get('TicketElevatePage') or return;
    return unless $page =~ m{^https?://} and $ticket and $ticket->id and $user and $user->id;
    return unless $ticket->Owner == $user->id and $ticket->QueueObj->IsActiveStatus( $ticket->Status );
    my $number = $ticket->id;
    $page =~ s/\{ticket\}/$number/g;
    return $page;
}

1;
