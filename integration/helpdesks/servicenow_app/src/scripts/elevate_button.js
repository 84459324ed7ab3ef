// UI action "Elevate" on the table of tickets: form button, server side, show update, not show insert,
// condition: current.assigned_to == gs.getUserID() && current.active
//
// Opens our page for this ticket. It saves nothing and starts nothing: the page asks who is there, reads the ticket
// again, and starts only for its assignee when they press the button there.
(function openElevate() {
    var our = new TicketElevateCall();
    var number = encodeURIComponent(current.getValue('number'));
    action.setRedirectURL(our.base() + '/elevate/' + our.connection(current) + '/' + number);
})();
