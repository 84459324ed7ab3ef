// Script include "TicketElevateCall": the signed call that tells Ticket Elevate of a ticket. The business rule "tell"
// and the flow's action both make theirs here, so that the key is read and the signature made in one place.
//
// It says nothing of what stands in the ticket: ids and a count alone. Signed as Standard Webhooks says
// (github.com/standard-webhooks/standard-webhooks).
var TicketElevateCall = Class.create();
TicketElevateCall.prototype = {
    initialize: function() {},

    // The address of Ticket Elevate, to which a path can be added.
    base: function() {
        return this._property('base').replace(/\/+$/, '');
    },

    // What Ticket Elevate calls the connection of this ticket's table.
    connection: function(ticket) {
        return this._property('connection.' + ticket.getTableName());
    },

    // What somebody pasted may have a line break at its end. '' where there is none.
    _property: function(name) {
        return String(gs.getProperty('ticket_elevate.' + name) || '').trim();
    },

    // The call about `ticket`, a GlideRecord, ready to be sent; null where the properties are not filled in.
    // A delivery that is sent again keeps its `id`. The time is that of now, so each try is signed anew.
    made: function(ticket, event, id) {
        var base = this.base();
        var secret = this._property('secret');
        var connection = this.connection(ticket);
        if (!base || !secret || !connection) {
            gs.error('Ticket Elevate is not told: a system property ticket_elevate.* is empty.');
            return null;
        }
        // ASCII only: nothing here was typed by anybody.
        var body = JSON.stringify({
            event: event,
            table: String(ticket.getTableName()),
            sys_id: String(ticket.getUniqueValue()),
            number: String(ticket.getValue('number')),
            sys_mod_count: String(ticket.getValue('sys_mod_count')),
            actor: String(gs.getUserID())
        });
        var time = String(Math.floor(new Date().getTime() / 1000));
        var key = secret.replace(/^whsec_/, '');
        var scoped = typeof GlideCertificateEncryption === 'undefined';
        var mac = scoped ? new CertificateEncryption() : new GlideCertificateEncryption();
        var signature = mac.generateMac(key, 'HmacSHA256', id + '.' + time + '.' + body);

        var call = new sn_ws.RESTMessageV2();
        call.setHttpMethod('POST');
        call.setEndpoint(base + '/webhooks/' + connection);
        call.setHttpTimeout(10000);
        call.setRequestHeader('Content-Type', 'application/json');
        call.setRequestHeader('webhook-id', id);
        call.setRequestHeader('webhook-timestamp', time);
        call.setRequestHeader('webhook-signature', 'v1,' + signature);
        call.setRequestBody(body);
        return call;
    },

    type: 'TicketElevateCall'
};
