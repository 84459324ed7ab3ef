"""A practice Entra tenant and a practice helpdesk on one machine. See README.md beside this file."""
