package certificate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// No error and no line of the log may contain a part of a private key.
func TestNoPrivateKeyIsTold(t *testing.T) {
	t.Parallel()
	var reported strings.Builder
	log := funcr.New(func(prefix, args string) { reported.WriteString(prefix + args + "\n") }, funcr.Options{Verbosity: 10})
	c, clk := aCluster(aConfiguration()), clocktesting.NewFakeClock(start)
	keys := map[string]bool{}
	fails := false
	k := aKeeper(interceptor.NewClient(c, interceptor.Funcs{
		Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if fails {
				return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, o.GetName(), errors.New("changed"))
			}
			return w.Update(ctx, o, opts...)
		},
	}), clk)
	k.o.Log = log
	look := func() {
		if err := k.Ensure(t.Context()); err != nil {
			fmt.Fprintln(&reported, err)
		}
		fmt.Fprintln(&reported, k.Ready(nil))
		var s corev1.Secret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: secretName}, &s); err != nil {
			t.Fatal(err)
		}
		for name, v := range s.Data {
			if strings.HasSuffix(name, ".key") {
				for _, line := range strings.Split(string(v), "\n") {
					keys[line] = len(line) > 20 && !strings.HasPrefix(line, "-----")
				}
			}
		}
	}
	damage := func(change func(data map[string][]byte)) {
		var s corev1.Secret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: secretName}, &s); err != nil {
			t.Fatal(err)
		}
		change(s.Data)
		if err := c.Update(t.Context(), &s); err != nil {
			t.Fatal(err)
		}
		look()
	}
	look()
	for _, d := range []time.Duration{61 * day, 7 * 365 * day, time.Hour, time.Hour} {
		clk.Step(d)
		look()
	}
	damage(func(d map[string][]byte) { d["tls.key"] = d["tls.key"][:len(d["tls.key"])/2] })
	damage(func(d map[string][]byte) { d["tls.crt"] = d["tls.key"] })
	damage(func(d map[string][]byte) { d["ca.crt"], d["signer.crt"] = d["tls.key"], d["signer.key"] })
	fails = true
	clk.Step(61 * day)
	look()
	secrets := 0
	for line, secret := range keys {
		if !secret {
			continue
		}
		secrets++
		if strings.Contains(reported.String(), line) {
			t.Error("a part of a private key was written")
		}
	}
	if secrets < 6 || !strings.Contains(reported.String(), string(stepPromoted)) || !strings.Contains(reported.String(), "changed") {
		t.Errorf("%d lines of keys were looked for in:\n%s", secrets, reported.String())
	}
}
