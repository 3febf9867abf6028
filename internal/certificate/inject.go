package certificate

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// carrier is an object from which clients read the bundle: a webhook configuration or a ConfigMap.
type carrier struct {
	object client.Object
	// what is the kind and name of the object, for errors.
	what string
	// bundles are the bundles in the object, and set replaces all of them.
	bundles [][]byte
	set     func(bundle []byte)
}

// carriers reads the webhook configurations that exist, and the ConfigMap.
func (k *Keeper) carriers(ctx context.Context) ([]*carrier, error) {
	var found []*carrier
	for _, name := range k.o.Webhooks {
		o := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if there, err := k.read(ctx, name, o, "ValidatingWebhookConfiguration"); err != nil {
			return nil, err
		} else if there {
			found = append(found, validating(o))
		}
	}
	for _, name := range k.o.Mutating {
		o := &admissionregistrationv1.MutatingWebhookConfiguration{}
		if there, err := k.read(ctx, name, o, "MutatingWebhookConfiguration"); err != nil {
			return nil, err
		} else if there {
			found = append(found, mutating(o))
		}
	}
	if k.o.ConfigMap == "" {
		return found, nil
	}
	o := &corev1.ConfigMap{}
	err := k.o.Client.Get(ctx, client.ObjectKey{Namespace: k.o.Namespace, Name: k.o.ConfigMap}, o)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", k.o.Namespace, k.o.ConfigMap, err)
	}
	if err != nil {
		o.Namespace, o.Name, o.Labels = k.o.Namespace, k.o.ConfigMap, ownLabels()
	}
	return append(found, configMap(o)), nil
}

// read reads a webhook configuration, and reports whether it exists.
func (k *Keeper) read(ctx context.Context, name string, o client.Object, kind string) (bool, error) {
	err := k.o.Client.Get(ctx, client.ObjectKey{Name: name}, o)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading %s %s: %w", kind, name, err)
	}
	return err == nil, nil
}

func validating(o *admissionregistrationv1.ValidatingWebhookConfiguration) *carrier {
	var configs []*admissionregistrationv1.WebhookClientConfig
	for i := range o.Webhooks {
		configs = append(configs, &o.Webhooks[i].ClientConfig)
	}
	return configuration(o, "ValidatingWebhookConfiguration "+o.Name, configs)
}

func mutating(o *admissionregistrationv1.MutatingWebhookConfiguration) *carrier {
	var configs []*admissionregistrationv1.WebhookClientConfig
	for i := range o.Webhooks {
		configs = append(configs, &o.Webhooks[i].ClientConfig)
	}
	return configuration(o, "MutatingWebhookConfiguration "+o.Name, configs)
}

func configuration(o client.Object, what string, configs []*admissionregistrationv1.WebhookClientConfig) *carrier {
	c := &carrier{object: o, what: what}
	for _, w := range configs {
		c.bundles = append(c.bundles, w.CABundle)
	}
	c.set = func(bundle []byte) {
		for _, w := range configs {
			w.CABundle = bundle
		}
	}
	return c
}

func configMap(o *corev1.ConfigMap) *carrier {
	return &carrier{
		object: o, what: "ConfigMap " + o.Namespace + "/" + o.Name, bundles: [][]byte{[]byte(o.Data[keyBundle])},
		set: func(bundle []byte) {
			if o.Data == nil {
				o.Data = map[string]string{}
			}
			o.Data[keyBundle] = string(bundle)
		},
	}
}

// unchanged reports whether the carriers are unchanged since they were read.
func (k *Keeper) unchanged(ctx context.Context, read []*carrier) (bool, error) {
	now, err := k.carriers(ctx)
	return slices.EqualFunc(read, now, func(a, b *carrier) bool {
		return a.object.GetUID() == b.object.GetUID() && a.object.GetResourceVersion() == b.object.GetResourceVersion()
	}), err
}

// carried returns all bundles of the carriers.
func carried(carriers []*carrier) [][]byte {
	var bundles [][]byte
	for _, c := range carriers {
		bundles = append(bundles, c.bundles...)
	}
	return bundles
}

// inject writes the bundle into the carriers that have another bundle, if they are unchanged since they were
// read. It reports whether it wrote any. A webhook configuration that has been deleted meanwhile is skipped.
func (k *Keeper) inject(ctx context.Context, carriers []*carrier, bundle []byte) (bool, error) {
	injected := false
	for _, c := range carriers {
		if !slices.ContainsFunc(c.bundles, func(b []byte) bool { return !bytes.Equal(b, bundle) }) {
			continue
		}
		if err := k.publish(ctx, c, bundle); err != nil {
			return injected, err
		}
		injected = true
	}
	return injected, nil
}

func (k *Keeper) publish(ctx context.Context, c *carrier, bundle []byte) error {
	before := c.object.DeepCopyObject().(client.Object)
	c.set(bundle)
	if before.GetResourceVersion() == "" {
		if err := k.o.Client.Create(ctx, c.object); err != nil {
			return fmt.Errorf("creating %s: %w", c.what, err)
		}
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := k.o.Client.Patch(ctx, c.object, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("publishing the certificate authorities in %s: %w", c.what, err)
	}
	return nil
}
