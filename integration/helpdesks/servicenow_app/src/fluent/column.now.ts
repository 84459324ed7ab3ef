import { Acl, StringColumn, Table } from '@servicenow/sdk/core'

// Our business rules write down here who assigned the ticket with their own hands. Nobody else may.
export const incident = Table({
    augments: 'incident',
    schema: {
        u_elevate_pick: StringColumn({ label: 'Elevate pick', maxLength: 100, readOnly: true }),
    },
})

Acl({
    $id: Now.ID['pick-write'],
    type: 'record',
    table: 'incident',
    field: 'u_elevate_pick',
    operation: 'write',
    adminOverrides: false,
    script: 'answer = false;',
    description: 'Ticket Elevate: the business rules alone write this column, whatever a form or the API sends.',
})

// The role of our service account; where it reads the table by another role, name that one.
Acl({
    $id: Now.ID['pick-read'],
    type: 'record',
    table: 'incident',
    field: 'u_elevate_pick',
    operation: 'read',
    adminOverrides: true,
    roles: ['sn_incident_read'],
    description: 'Ticket Elevate: the service account reads who picked a ticket.',
})
