package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/nfo-operator/nfo/test/environment"
)

const (
	folder = "../../charts/nfo"
	// namespace differs from the one in config.
	namespace  = "operators"
	privileged = "operators-privileged"
	repository = "registry.example.com:5000/nfo"
)

var (
	env *environment.Environment
	// home is the folder of helm's caches and settings.
	home string
)

func TestMain(m *testing.M) { os.Exit(prepared(m)) }

func prepared(m *testing.M) int {
	// It does nothing if helm is already built.
	build := exec.Command("make", "--no-print-directory", "-C", environment.Root(), "bin/tools/helm")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	err := build.Run()
	if err == nil {
		home, err = os.MkdirTemp("", "nfo-helm-")
	}
	if err != nil {
		log.Printf("preparing helm: %v", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(home) }() // in the system's folder for temporary files
	return environment.Empty(m, &env)
}

// helm runs helm with values on its standard input and returns its standard output.
func helm(t *testing.T, values string, args ...string) (string, error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(environment.Root(), "bin", "tools", "helm"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+env.Kubeconfig(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(values), &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running helm %s: %w: %s", args[0], err, said.String())
	}
	return out.String(), nil
}

// objects are the objects of a rendering by kind and name, such as Deployment/nfo-manager.
type objects map[string]*unstructured.Unstructured

// render renders the chart, hooks included, and sends every object to the API server in a dry run.
func render(t *testing.T, values string) objects {
	t.Helper()
	out, err := helm(t, values, "template", "nfo", folder, "--namespace", namespace, "--set", "image.repository="+repository, "--values", "-")
	if err != nil {
		t.Fatal(err)
	}
	all := decode(t, strings.NewReader(out))
	prepare(t)
	for name, o := range all {
		admitted(t, name, o.DeepCopy())
		if pod := podOf(t, o); pod != nil {
			pod.Namespace, pod.Name = namespace, "pod"
			if o.GetKind() == "DaemonSet" { // it uses the node's network, which restricted pods may not
				pod.Namespace = privileged
			}
			if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
				t.Errorf("the pod of %s would not be admitted: %v", name, err)
			}
		}
	}
	return all
}

// prepare creates what the dry runs need: the namespaces, and the account of the pod nfo-checker.
func prepare(t *testing.T) {
	t.Helper()
	restricted, open, checker := &corev1.Namespace{}, &corev1.Namespace{}, &corev1.ServiceAccount{}
	open.Name = privileged
	restricted.Name, restricted.Labels = namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	checker.Namespace, checker.Name = namespace, "nfo-checker"
	for _, o := range []client.Object{restricted, open, checker} {
		if err := env.Client.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

func decode(t *testing.T, from io.Reader) objects {
	t.Helper()
	all := objects{}
	for r := utilyaml.NewYAMLReader(bufio.NewReader(from)); ; {
		text, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		o := &unstructured.Unstructured{}
		if err := errors.Join(err, yaml.UnmarshalStrict(text, &o.Object)); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		if len(o.Object) == 0 {
			continue
		}
		name := o.GetKind() + "/" + o.GetName()
		if all[name] != nil {
			name += " in " + o.GetNamespace()
		}
		if all[name] != nil {
			t.Fatalf("%s is there twice", name)
		}
		all[name] = o
	}
}

// unknown are the API groups that the API server does not have: those of cert-manager and Prometheus.
var unknown = []string{"cert-manager.io", "monitoring.coreos.com"}

// admitted creates an object in a strict dry run, and fails the test if the API server refuses it.
func admitted(t *testing.T, name string, o *unstructured.Unstructured) {
	t.Helper()
	if slices.Contains(unknown, o.GroupVersionKind().Group) {
		return
	}
	if err := env.Client.Create(t.Context(), o, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Errorf("%s would not be admitted: %v", name, err)
	}
}

// podOf returns the pod that an object would create, or nil if it creates
// none. The pod has no ServiceAccount, because a dry run does not create one.
func podOf(t *testing.T, o *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	if !slices.Contains([]string{"Deployment", "DaemonSet", "Job"}, o.GetKind()) {
		return nil
	}
	spec, found, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
	if !found || err != nil {
		t.Fatalf("%s has no pod: %v", o.GetKind(), err)
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &pod.Spec); err != nil {
		t.Fatal(err)
	}
	pod.Spec.ServiceAccountName = ""
	return pod
}
