package chart

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/nfo-operator/nfo/test/program"
)

// asInConfig renders the chart with the namespace and image of config.
func asInConfig(t *testing.T, more ...string) objects {
	t.Helper()
	set := strings.Join(append([]string{"image.repository=nfo", "image.tag=latest"}, more...), ",")
	out, err := helm(t, "", "template", "nfo", folder, "--namespace", "nfo-system", "--set", set)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, strings.NewReader(out))
}

// fromConfig returns the objects of config, with those that are hooks in the chart.
func fromConfig(t *testing.T) objects {
	t.Helper()
	all := objects{}
	for _, pattern := range []string{"crd/nfo.dev_*", "rbac/*", "webhook/*", "manager/*"} {
		files, err := filepath.Glob("../../config/" + pattern + ".yaml")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(all, decode(t, bytes.NewReader(text)))
		}
	}
	return all
}

func TestInstallsWhatConfigDoes(t *testing.T) {
	t.Parallel()
	rendered, enabled, config := asInConfig(t), asInConfig(t, "registry.enabled=true", "mirror.enabled=true"), fromConfig(t)
	delete(config, "Kustomization/") // it only lists files
	delete(config, "Namespace/nfo-system")
	for name, want := range config {
		got := rendered[name]
		// Only some installations have these.
		if strings.HasSuffix(name, "/nfo-registry") || strings.HasSuffix(name, "/nfo-pods") || strings.Contains(name, "/nfo-mirror") {
			if got != nil {
				t.Errorf("without a registry and a mirror the chart has %s", name)
			}
			got = enabled[name]
		}
		if got == nil {
			t.Errorf("the chart has no %s", name)
			continue
		}
		if name == podsWebhook {
			got = withoutValues(t, got)
		}
		if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
			t.Errorf("%s (-config +chart):\n%s", name, diff)
		}
	}
	// Objects that only the chart has.
	want := []string{
		"ClusterRoleBinding/nfo-checker", "ClusterRoleBinding/nfo-remover", "Job/nfo-remover", "Pod/nfo-checker", "RoleBinding/nfo-checker", "RoleBinding/nfo-remover",
		"Service/nfo-metrics", "ServiceAccount/nfo-checker", "ServiceAccount/nfo-remover",
	}
	maps.DeleteFunc(rendered, func(name string, _ *unstructured.Unstructured) bool { return config[name] != nil })
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(rendered))); diff != "" {
		t.Errorf("what only the chart has (-want +got):\n%s", diff)
	}
}

// TestKindsAreFoundByTheirLabel is for `kubectl delete crd -l app.kubernetes.io/name=nfo`. docs/tasks/uninstall.md
// says that this command deletes every kind of nfo, however it was installed. Decoding fails if a label is set twice.
func TestKindsAreFoundByTheirLabel(t *testing.T) {
	t.Parallel()
	for from, all := range map[string]objects{"config": fromConfig(t), "the chart": asInConfig(t)} {
		kinds := 0
		for name, o := range all {
			if o.GetKind() != "CustomResourceDefinition" {
				continue
			}
			kinds++
			if label := o.GetLabels()["app.kubernetes.io/name"]; label != "nfo" {
				t.Errorf("%s of %s has the label %q", name, from, label)
			}
		}
		if kinds != 7 {
			t.Errorf("%s has %d kinds, want 7", from, kinds)
		}
	}
}

// withoutValues returns the webhook for pods without the conditions from values, which follow those of config.
func withoutValues(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	o = o.DeepCopy()
	hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil || len(hooks) != 1 {
		t.Fatalf("there are %d webhooks: %v", len(hooks), err)
	}
	hook := hooks[0].(map[string]any)
	hook["matchConditions"] = hook["matchConditions"].([]any)[:2]
	if err := unstructured.SetNestedSlice(o.Object, hooks, "webhooks"); err != nil {
		t.Fatal(err)
	}
	return o
}

// plain returns an object without what the chart adds to every object: labels and Helm's annotations.
func plain(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "metadata", "labels")
	if o.GetKind() == "Deployment" {
		unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "labels")
	}
	annotations := o.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.HasPrefix(key, "helm.sh/") })
	o.SetAnnotations(annotations)
	if len(annotations) == 0 {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
	}
	return o.Object
}

// TestFindsItsPods checks that every selector finds the pods or Services that it is for, and no others.
func TestFindsItsPods(t *testing.T) {
	t.Parallel()
	all := render(t, "replicas: 2\nnetworkPolicy: {enabled: true}\nmetrics: {serviceMonitor: {enabled: true}}\n"+many)
	labels := func(object string, at ...string) map[string]string {
		found, ok, err := unstructured.NestedStringMap(all[object].Object, at...)
		if !ok || err != nil || len(found) == 0 {
			t.Fatalf("%s has no labels at %v: %v", object, at, err)
		}
		return found
	}
	pods := map[string]map[string]string{
		manager:  labels(manager, "spec", "template", "metadata", "labels"),
		registry: labels(registry, "spec", "template", "metadata", "labels"),
		// Services, which the ServiceMonitors select.
		"Service/nfo-metrics":          labels("Service/nfo-metrics", "metadata", "labels"),
		"Service/nfo-registry":         labels("Service/nfo-registry", "metadata", "labels"),
		"Service/nfo-registry-metrics": labels("Service/nfo-registry-metrics", "metadata", "labels"),
		"a hook's pod":                 labels("Pod/nfo-checker", "metadata", "labels"),
		"another hook's pod":           labels("Job/nfo-remover", "spec", "template", "metadata", "labels"),
	}
	for _, tc := range []struct {
		object string
		at     []string
		of     string
	}{
		{manager, []string{"spec", "selector", "matchLabels"}, manager},
		{"Service/nfo-webhooks", []string{"spec", "selector"}, manager},
		{"Service/nfo-metrics", []string{"spec", "selector"}, manager},
		{"PodDisruptionBudget/nfo-manager", []string{"spec", "selector", "matchLabels"}, manager},
		{"NetworkPolicy/nfo-manager", []string{"spec", "podSelector", "matchLabels"}, manager},
		{"ServiceMonitor/nfo-manager", []string{"spec", "selector", "matchLabels"}, "Service/nfo-metrics"},
		{registry, []string{"spec", "selector", "matchLabels"}, registry},
		{"Service/nfo-registry", []string{"spec", "selector"}, registry},
		{"Service/nfo-registry-metrics", []string{"spec", "selector"}, registry},
		{"PodDisruptionBudget/nfo-registry", []string{"spec", "selector", "matchLabels"}, registry},
		{"NetworkPolicy/nfo-registry", []string{"spec", "podSelector", "matchLabels"}, registry},
		{"ServiceMonitor/nfo-registry", []string{"spec", "selector", "matchLabels"}, "Service/nfo-registry-metrics"},
	} {
		selector := labels(tc.object, tc.at...)
		has := func(of map[string]string) bool {
			for key, value := range selector {
				if of[key] != value {
					return false
				}
			}
			return true
		}
		for name, of := range pods {
			services := strings.HasPrefix(tc.object, "ServiceMonitor/")
			if strings.HasPrefix(name, "Service/") == services && has(of) != (name == tc.of) {
				t.Errorf("%s selects %v: that it finds %s is %t", tc.object, selector, name, has(of))
			}
		}
	}
}

// TestProgramKnowsItsArguments runs the program with the arguments of every container of the manager, the registry, the
// agents and the hooks, and --help. The program fails if it does not have one of the commands or flags. The values
// together must give every flag that the templates contain.
func TestProgramKnowsItsArguments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := program.Build(dir, false, "nfo"); err != nil {
		t.Fatal(err)
	}
	nfo := filepath.Join(dir, "nfo")
	never := flagsOfTemplates(t)
	for _, values := range []string{
		"certificate: {mode: certManager}\nregistry: {enabled: true, collection: {untagged: true}, anonymousPull: true, host: registry.example.com}",
		"allowLoopbackRegistries: true\nwatchNamespaces: [default]\nwebhooks: {secretPaths: false}\nplaces: {list: [{registry: registry.example.com, namespaces: [acme]}]}\n" +
			"registry: {enabled: true, service: {clusterIP: 10.96.0.77}}\nmirror: {enabled: true, nodeAccess: ClusterIP, platforms: [linux/amd64], agent: {metricsPort: 7441, plainHTTP: [\"10.0.0.1:5000\"], authorities: registries}}",
		mirrored + ", nodeAccess: RuntimeMirror, agent: {hosts: [docker.io]}}",
		"registry: {enabled: true, certificate: {secretName: mine}, storage: {s3: {bucket: b}}}",
	} {
		for name, o := range render(t, values) {
			for _, args := range argumentsOf(t, o) {
				for _, arg := range args {
					flag, _, _ := strings.Cut(arg, "=")
					delete(never, flag)
				}
				if out, err := help(t.Context(), nfo, args); err != nil || !strings.Contains(out, "nfo "+args[0]) {
					t.Errorf("%s: nfo %s: %v: %s", name, strings.Join(args, " "), err, out)
				}
			}
		}
	}
	if len(never) > 0 {
		t.Errorf("no values give these flags of the templates: %v", slices.Sorted(maps.Keys(never)))
	}
	if _, err := help(t.Context(), nfo, []string{"manager", "--no-such-flag"}); err == nil {
		t.Error("a flag that it does not have goes unnoticed")
	}
}

// argumentsOf returns the arguments of each container of an object.
func argumentsOf(t *testing.T, o *unstructured.Unstructured) (all [][]string) {
	t.Helper()
	path := []string{"spec", "template", "spec", "containers"}
	if o.GetKind() == "Pod" {
		path = []string{"spec", "containers"}
	}
	containers, _, err := unstructured.NestedSlice(o.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range containers {
		args, _, err := unstructured.NestedStringSlice(c.(map[string]any), "args")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, args)
	}
	return all
}

// flagsOfTemplates returns the flags that the chart's templates contain: those in lists and those in text of templates.
func flagsOfTemplates(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(folder+"/templates", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, flag := range regexp.MustCompile(`(?:^|\n *- |")(--[a-z][a-z-]*)`).FindAllSubmatch(text, -1) {
			all[string(flag[1])] = true
		}
		return err
	})
	if err != nil || len(all) < 40 {
		t.Fatalf("the templates have only %d flags: %v", len(all), err)
	}
	return all
}

func help(ctx context.Context, nfo string, args []string) (string, error) {
	out, err := exec.CommandContext(ctx, nfo, append(slices.Clone(args), "--help")...).CombinedOutput()
	return string(out), err
}
