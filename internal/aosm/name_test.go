package aosm

import (
	"strings"
	"testing"
)

func TestObjectName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		reason    string
		raw       string
		namespace bool
		want      string
	}{
		"Plain":      {"it stays", "upf-1.0.0", false, "upf-1.0.0"},
		"Case":       {"ARM tells no case apart", "UPF", false, "upf"},
		"Underscore": {"what is changed gets a hash", "a_b", false, "a-b-648fa9b3"},
		"Dash":       {"so that it is not another name", "a-b", false, "a-b"},
		"Label":      {"a namespace has no dots", "a.b", true, "a-b-2e7336dc"},
		"Dots":       {"no part is empty", "a..b.", false, "a.b-83b3199d"},
		"Nothing":    {"some name is left", "___", false, "x-bda25155"},
		"Reserved":   {"not into Kubernetes' own namespaces", "Kube-System", true, "kube-system-88007f70"},
		"Default":    {"nor into that of nobody", "default", true, "default-37a8eec1"},
		"Long":       {"cut, without a separator at the end", strings.Repeat("a", 53) + "_" + strings.Repeat("b", 20), true, strings.Repeat("a", 53) + "-4fa2c8ef"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 253
			if tc.namespace {
				limit = 63
			}
			if got, _ := objectName(tc.raw, limit, tc.namespace); got != tc.want {
				t.Errorf("%s: %q becomes %q, want %q", tc.reason, tc.raw, got, tc.want)
			}
		})
	}
}
