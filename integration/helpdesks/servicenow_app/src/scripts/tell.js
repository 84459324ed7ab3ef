// Business rule "Ticket Elevate: tell": after insert and update, order 10000,
// condition: Assigned to changes OR State changes OR Active changes.
//
// Tells Ticket Elevate that something happened to this ticket. It never waits for the answer: execute() would stall the
// person who saves the form. Not beside the flow "Ticket Elevate: tell", which does the same.
(function executeRule(current, previous) {
    var event = current.operation() === 'insert' ? 'inserted' : current.assigned_to.changes() ? 'assigned' : 'state';
    try {
        var call = new TicketElevateCall().made(current, event, String(gs.generateGUID()));
        if (call) {
            call.executeAsync();
        }
    } catch (failed) {
        // The ticket is saved all the same. Nothing of the call is logged: it could hold the key.
        gs.error('Ticket Elevate could not be told of ' + current.getValue('number') + '.');
    }
})(current, previous);
