// UI action "Elevate" on the table of tickets: form button, server side, show update, not show insert,
// condition: current.assigned_to == gs.getUserID() && current.active
//
// Opens our page for this ticket. It saves nothing and starts nothing: the page asks who is there, reads the ticket
// again, and starts only for its assignee when they press the button there.
(function openElevate() {
    var base = gs.getProperty('ticket_elevate.base');
    var connection = gs.getProperty('ticket_elevate.connection.' + current.getTableName());
    action.setRedirectURL(base + '/elevate/' + connection + '/' + encodeURIComponent(current.getValue('number')));
})();
