package workloadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Lists serves the lists of a client's objects in a namespace until the test
// ends. It returns the configuration and HTTP client to reach the server.
func Lists(t *testing.T, of client.Client) (*rest.Config, *http.Client) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, err := listOf(of, r)
		if status := apierrors.APIStatus(nil); errors.As(err, &status) {
			refuse(w, int(status.Status().Code), status.Status().Reason, status.Status().Message)
			return
		}
		if err == nil {
			err = json.NewEncoder(w).Encode(list)
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, server.Client()
}

// listOf returns the client's list for a request such as /apis/apps/v1/namespaces/ran/deployments.
func listOf(of client.Client, r *http.Request) (client.ObjectList, error) {
	version, rest, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/namespaces/")
	namespace, resource, _ := strings.Cut(rest, "/")
	_, version, _ = strings.Cut(version, "/")
	at, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, err
	}
	kind := at.WithKind(lists[resource])
	blank, err := of.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	list, ok := blank.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s is no list", kind)
	}
	page := client.ListOptions{Namespace: namespace, Continue: r.URL.Query().Get("continue")}
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &page.Limit)
	err = of.List(r.Context(), list, &page)
	list.GetObjectKind().SetGroupVersionKind(kind)
	return list, err
}
