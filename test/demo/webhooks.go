package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	webhookService       = "nfo-webhooks"
	webhookConfiguration = "nfo-validating"
	// webhooksWithin is how soon the API server has to ask the manager.
	webhooksWithin = 30 * time.Second
)

// routeWebhooks leads the Service that the API server calls the webhooks by to the manager on this
// host. It has no node, so no Service has an address; one of type ExternalName needs none, and
// takes the port from the webhook. The name that the certificate is for stays the Service's.
func (e *environment) routeWebhooks(ctx context.Context, port string) error {
	const here = `{"spec": {"type": "ExternalName", "externalName": "localhost"}}`
	if _, err := e.kubectl(ctx, "patch", "service", webhookService, "--namespace", managerNamespace, "--type=merge", "--patch", here); err != nil {
		return err
	}
	names, err := e.kubectl(ctx, "get", "validatingwebhookconfiguration", webhookConfiguration, "--output", "jsonpath={.webhooks[*].name}")
	if err != nil {
		return err
	}
	var ops []string
	for i := range strings.Fields(names) {
		ops = append(ops, fmt.Sprintf(`{"op": "add", "path": "/webhooks/%d/clientConfig/service/port", "value": %s}`, i, port))
	}
	_, err = e.kubectl(ctx, "patch", "validatingwebhookconfiguration", webhookConfiguration, "--type=json", "--patch", "["+strings.Join(ops, ", ")+"]")
	return err
}

// awaitWebhooks returns when the API server asks the manager and trusts it: until then it can store
// none of the operator's kinds.
func (e *environment) awaitWebhooks(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, webhooksWithin, fmt.Errorf("not so within %s", webhooksWithin))
	defer cancel()
	var wrong error
	err := poll(ctx, 100*time.Millisecond, func() (bool, error) {
		_, wrong = e.kubectl(ctx, "create", "--dry-run=server", "--namespace=default", "--filename=config/samples/01-store.yaml")
		return wrong == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the API server can ask the manager: %w: %w", err, wrong)
	}
	return nil
}
