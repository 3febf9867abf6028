package main

import (
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestManagerUsage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		cfg    func(*managerConfig)
		says   string
	}{
		"NoPolls":  {"nothing would ever be seen", func(c *managerConfig) { c.PollsPerSecond = 0 }, "--registry-polls-per-second is 0"},
		"NoPort":   {"0 means none, less means nothing", func(c *managerConfig) { c.webhookPort = -1 }, "--webhook-port is -1"},
		"PortOver": {"there is no such port", func(c *managerConfig) { c.webhookPort = 65536 }, "--webhook-port is 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := managerConfig{webhookPort: 9443}
			cfg.PollsPerSecond = 5
			tc.cfg(&cfg)
			if err := runManager(t.Context(), &rest.Config{}, cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: the error is %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestWebhooksAreServedByDefault(t *testing.T) {
	t.Parallel()
	port := newManagerCommand().Flags().Lookup("webhook-port")
	if port == nil || port.DefValue != "9443" { // as the Deployment's container port
		t.Errorf("the flag is %+v", port)
	}
}
