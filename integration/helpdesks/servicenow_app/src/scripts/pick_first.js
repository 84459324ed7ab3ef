// Business rule "Ticket Elevate: pick, first": before insert and update, order 1, no condition.
//
// Writes into u_elevate_pick that somebody assigns this ticket with their own hands: in a session with a person at the
// screen, who does not play somebody else, and before any assignment rule or other business rule has had its say.
// The audit cannot tell these apart: it names the user of the session, whatever ran in it.
(function executeRule(current, previous) {
    // Nobody else writes this column, whatever a form, an import or the API sent along.
    current.setValue('u_elevate_pick', (previous && previous.getValue('u_elevate_pick')) || '');

    var assignee = current.getValue('assigned_to');
    if (!assignee || !current.assigned_to.changes()) {
        return;
    }
    var session = gs.getSession();
    var playing = typeof GlideImpersonate === 'undefined'
        ? session.isImpersonating()
        : new GlideImpersonate().isImpersonating();
    if (session.isInteractive() && !playing) {
        current.setValue('u_elevate_pick', assignee + ':' + gs.getUserID() + ':' + gs.generateGUID());
    }
})(current, previous);
