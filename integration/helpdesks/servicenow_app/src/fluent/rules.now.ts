import { BusinessRule, ScriptInclude, UiAction } from '@servicenow/sdk/core'

// Before every rule that sets Assigned to.
BusinessRule({
    $id: Now.ID['pick-first'],
    name: 'Ticket Elevate: pick, first',
    table: 'incident',
    when: 'before',
    action: ['insert', 'update'],
    order: 1,
    active: true,
    script: Now.include('../scripts/pick_first.js'),
})

// After every such rule.
BusinessRule({
    $id: Now.ID['pick-last'],
    name: 'Ticket Elevate: pick, last',
    table: 'incident',
    when: 'before',
    action: ['insert', 'update'],
    order: 100000,
    active: true,
    script: Now.include('../scripts/pick_last.js'),
})

// Either this rule or the flow, not both: for the flow set `active: false` here.
BusinessRule({
    $id: Now.ID['tell'],
    name: 'Ticket Elevate: tell',
    table: 'incident',
    when: 'after',
    action: ['insert', 'update'],
    order: 10000,
    active: true,
    filterCondition: 'assigned_toVALCHANGES^ORstateVALCHANGES^ORactiveVALCHANGES^EQ',
    script: Now.include('../scripts/tell.js'),
})

ScriptInclude({
    $id: Now.ID['call'],
    name: 'TicketElevateCall',
    apiName: 'global.TicketElevateCall',
    description: 'The signed call that tells Ticket Elevate of a ticket.',
    active: true,
    clientCallable: false,
    accessibleFrom: 'package_private',
    script: Now.include('../scripts/ticket_elevate_call.js'),
})

UiAction({
    $id: Now.ID['button'],
    name: 'Elevate',
    actionName: 'ticket_elevate',
    table: 'incident',
    active: true,
    hint: 'Opens Ticket Elevate for this ticket. It saves nothing and starts nothing by itself.',
    condition: 'current.assigned_to == gs.getUserID() && current.active',
    showInsert: false,
    showUpdate: true,
    form: { showButton: true },
    workspace: { isConfigurableWorkspace: true, showFormButtonV2: true },
    script: Now.include('../scripts/elevate_button.js'),
})
