"use strict";
const given = {
  ticket: { id: 9000000 + Number(new URLSearchParams(location.search).get("ticket")), display_id: Number(new URLSearchParams(location.search).get("ticket")) },
};
window.app = {
  initialized: async () => ({
    data: { get: async (name) => ({ [name]: given[name] }) },
    iparams: { get: async () => ({{ iparams | tojson }}) },
  }),
};
