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
	// webhooksWithin is the time within which the API server must be able to call the manager.
	webhooksWithin = 30 * time.Second
)

// routeWebhooks routes the webhooks' Service to the manager on this host. The cluster has no nodes,
// so the Service has no endpoints. A Service of type ExternalName needs none, and uses the port in
// the webhook configuration. The certificate must still be valid for the name of the Service.
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

// awaitWebhooks waits until the API server can call the manager and trusts
// its certificate: before that, it stores none of the operator's kinds.
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
