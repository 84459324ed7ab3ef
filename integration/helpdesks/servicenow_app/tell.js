// Business rule "Ticket Elevate: tell": after insert and update, order 10000,
// condition: Assigned to changes OR State changes OR Active changes.
//
// Tells Ticket Elevate that something happened to this ticket, and nothing of what stands in it: ids and a count alone.
// Signed as Standard Webhooks says (github.com/standard-webhooks/standard-webhooks). It never waits for the answer:
// execute() would stall the person who saves the form.
(function executeRule(current, previous) {
    var base = gs.getProperty('ticket_elevate.base');
    var secret = gs.getProperty('ticket_elevate.secret');
    var connection = gs.getProperty('ticket_elevate.connection.' + current.getTableName());
    if (!base || !secret || !connection) {
        gs.error('Ticket Elevate is not told: a system property ticket_elevate.* is empty.');
        return;
    }
    var event = current.operation() === 'insert' ? 'inserted' : current.assigned_to.changes() ? 'assigned' : 'state';
    // ASCII only: nothing here was typed by anybody.
    var body = JSON.stringify({
        event: event,
        table: String(current.getTableName()),
        sys_id: String(current.getUniqueValue()),
        number: String(current.getValue('number')),
        sys_mod_count: String(current.getValue('sys_mod_count')),
        actor: String(gs.getUserID())
    });
    var id = String(gs.generateGUID());
    var time = String(Math.floor(new Date().getTime() / 1000));
    var key = secret.replace(/^whsec_/, '');
    var scoped = typeof GlideCertificateEncryption === 'undefined';
    var mac = scoped ? new CertificateEncryption() : new GlideCertificateEncryption();
    try {
        var call = new sn_ws.RESTMessageV2();
        call.setHttpMethod('POST');
        call.setEndpoint(base + '/webhooks/' + connection);
        call.setHttpTimeout(10000);
        call.setRequestHeader('Content-Type', 'application/json');
        call.setRequestHeader('webhook-id', id);
        call.setRequestHeader('webhook-timestamp', time);
        var signature = mac.generateMac(key, 'HmacSHA256', id + '.' + time + '.' + body);
        call.setRequestHeader('webhook-signature', 'v1,' + signature);
        call.setRequestBody(body);
        call.executeAsync();
    } catch (failed) {
        // The ticket is saved all the same. Nothing of the call is logged: it could hold the key.
        gs.error('Ticket Elevate could not be told of ' + current.getValue('number') + '.');
    }
})(current, previous);
