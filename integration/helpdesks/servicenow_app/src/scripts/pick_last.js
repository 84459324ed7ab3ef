// Business rule "Ticket Elevate: pick, last": before insert and update, order 100000, no condition.
//
// Empties u_elevate_pick where something other than the person's own hands set the assignee in the meantime.
(function executeRule(current, previous) {
    if (!current.assigned_to.changes()) {
        return;
    }
    var pick = current.getValue('u_elevate_pick') || '';
    var old = (previous && previous.getValue('u_elevate_pick')) || '';
    if (pick === old || pick.indexOf((current.getValue('assigned_to') || '') + ':') !== 0) {
        current.setValue('u_elevate_pick', '');
    }
})(current, previous);
