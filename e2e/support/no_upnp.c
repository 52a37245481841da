/* In place of libgupnp-igd, which libnice wants: no UPnP. Debian 12's loads libsoup 3, beside which whip-client's libsoup 2
 * ends the process. */

#include <stddef.h>

size_t gupnp_simple_igd_get_type(void) { return 0; }

/* libnice does without UPnP then. */
void *gupnp_simple_igd_thread_new(void) { return NULL; }

void gupnp_simple_igd_add_port(void) {}

void gupnp_simple_igd_remove_port_local(void) {}
