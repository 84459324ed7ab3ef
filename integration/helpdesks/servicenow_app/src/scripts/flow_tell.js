// Script step of the action "Ticket Elevate: tell", for the flow of that name. Inputs: `ticket`, the record; `started`,
// when the flow started.
//
// Waits for the answer, since a flow in the background holds nobody up, and fails when it is not a good one: then the
// flow tries again later. The tries of one run of the flow are one delivery, which Ticket Elevate takes once, as long as
// the record was not saved again in between.
(function execute(inputs, outputs) {
    var ticket = inputs.ticket;
    var run = String(inputs.started).replace(/[^0-9]/g, '');
    var id = [ticket.getUniqueValue(), ticket.getValue('sys_mod_count'), run].join('-');
    var status = 0;
    try {
        // The flow does not say what of the three it was that changed.
        var call = new TicketElevateCall().made(ticket, 'changed', id);
        if (call) {
            status = call.execute().getStatusCode();
        }
    } catch (failed) {
        // Nothing of the call is shown: it could hold the key.
        status = 0;
    }
    if (!(status >= 200 && status <= 299)) {
        throw new Error('Ticket Elevate was not told of ' + ticket.getValue('number') + ': HTTP status ' + status + '.');
    }
})(inputs, outputs);
