// The name of the connection in our settings: [helpdesks.jira].
export const CONNECTION = "jira";
