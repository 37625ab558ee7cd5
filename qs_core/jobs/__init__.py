"""Many tasks on one machine or a cluster: `pools` shares them out, `manifest` remembers, `restyling` is a folder's."""
