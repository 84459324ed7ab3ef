import { Property } from '@servicenow/sdk/core'

// Written when the application is installed first, and left alone when a newer version is: the values are yours.
Property({
    $id: Now.ID['base'],
    $meta: { installMethod: 'first install' },
    name: 'ticket_elevate.base',
    type: 'string',
    value: 'https://elevate.example.org',
    description: 'Ticket Elevate: the public_url of its settings.',
    isPrivate: true,
    roles: { read: ['admin'], write: ['admin'] },
})

Property({
    $id: Now.ID['connection'],
    $meta: { installMethod: 'first install' },
    name: 'ticket_elevate.connection.incident',
    type: 'string',
    value: 'servicenow',
    description: 'Ticket Elevate: the name of the connection in its settings that reads this table.',
    isPrivate: true,
    roles: { read: ['admin'], write: ['admin'] },
})

// Without a value: fill it in on the instance. A secret in a source or a package is none.
Property({
    $id: Now.ID['secret'],
    $meta: { installMethod: 'first install' },
    name: 'ticket_elevate.secret',
    type: 'string',
    description: 'Ticket Elevate: the signing secret, whsec_ and what follows. Until it is filled in, nobody is told.',
    isPrivate: true,
    roles: { read: ['admin'], write: ['admin'] },
})
