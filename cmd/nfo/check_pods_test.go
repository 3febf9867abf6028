package main

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestCheckPods(t *testing.T) {
	t.Parallel()
	hook := func(namespace string, bundle []byte) client.Object {
		c := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "nfo-pods"}}
		c.Webhooks = make([]admissionregistrationv1.MutatingWebhook, 1)
		c.Webhooks[0].ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: namespace}
		c.Webhooks[0].ClientConfig.CABundle = bundle
		return c
	}
	for _, tt := range []struct {
		reason  string
		objects []client.Object
		want    string
	}{
		{"without a mirror nothing is checked", nil, ""},
		{"one that can be asked", []client.Object{hook("operators", []byte("ca"))}, ""},
		{"one that nobody trusts", []client.Object{hook("operators", nil)}, "has no caBundle"},
		{"one of another operator", []client.Object{hook("others", []byte("ca"))}, "leads to the namespace others"},
	} {
		err := checkPods(t.Context(), fake.NewClientBuilder().WithObjects(tt.objects...).Build(), "operators")
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.reason, err)
		}
	}
}
