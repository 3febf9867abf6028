// Package workloadtest has an API server for tests that read workloads.
package workloadtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// lists has the kinds of the lists that are served, by resource.
var lists = map[string]string{
	"pods": "PodList", "replicationcontrollers": "ReplicationControllerList", "podtemplates": "PodTemplateList",
	"deployments": "DeploymentList", "replicasets": "ReplicaSetList", "statefulsets": "StatefulSetList", "daemonsets": "DaemonSetList",
	"controllerrevisions": "ControllerRevisionList", "jobs": "JobList", "cronjobs": "CronJobList", "namespaces": "NamespaceList", "serviceaccounts": "ServiceAccountList",
}

// Server serves lists of workloads.
type Server struct {
	// Objects has JSON objects by the path of their list, such as /api/v1/pods.
	Objects map[string][]string
	// Denied are the resources whose lists are forbidden.
	Denied []string
}

// ServeHTTP serves a list, which is empty if it has no Objects.
func (s Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	w.Header().Set("Content-Type", "application/json")
	switch kind := lists[resource]; {
	case slices.Contains(s.Denied, resource):
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, fmt.Sprintf("%s is forbidden: User %q cannot list resource %q", resource, "ann", resource))
	case kind == "":
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, r.URL.Path+" is not served")
	default:
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{},"items":[%s]}`, kind, strings.Join(s.Objects[r.URL.Path], ","))
	}
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message})
}

// Start starts the server until the test ends. It returns the configuration and HTTP client to reach it.
func (s Server) Start(t *testing.T) (*rest.Config, *http.Client) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, server.Client()
}

// Deployment returns a Deployment in the namespace ran, with a container web.
func Deployment(name, image string) string {
	return fmt.Sprintf(`{"metadata":{"namespace":"ran","name":%q,"uid":%[1]q},"spec":{"template":{"spec":{"containers":[{"name":"web","image":%q}]}}}}`, name, image)
}

// Pod returns a pod in the namespace ran, with a container web.
func Pod(name, image string) string {
	return fmt.Sprintf(`{"metadata":{"namespace":"ran","name":%q,"uid":%[1]q},"spec":{"containers":[{"name":"web","image":%q}]}}`, name, image)
}
