package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Identities whose rights are generated.
const (
	// ManagerUser is that of managers.
	ManagerUser = "system:serviceaccount:nfo-system:nfo-manager"
	// RemoverUser is that of `nfo remove` where a job runs it.
	RemoverUser = "system:serviceaccount:nfo-system:nfo-remover"
)

// Environment is a running API server with the product installed.
type Environment struct {
	// Admin may do everything.
	Admin *rest.Config
	// Client is an uncached client for Admin.
	Client client.Client

	rights map[string]*rights // by user
	// chartCommand starts the program that reads charts for managers: this one, if it is empty.
	chartCommand []string
	command      *exec.Cmd
	stdin        io.Closer
	dir          string
}

// Root is the repository's folder: the nearest one above the working directory, which for a
// test is its package's, that has a go.mod.
func Root() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return "."
}

// Main runs the tests of a package in an environment that they share, and returns the exit code.
func Main(m *testing.M, shared **Environment) int { return run(m, shared, (*Environment).install) }

// Empty is Main without the product, for tests that install it themselves.
func Empty(m *testing.M, shared **Environment) int { return run(m, shared, nil) }

func run(m *testing.M, shared **Environment, install func(*Environment, context.Context) error) int {
	e, err := start(context.Background())
	if err != nil {
		log.Print(err)
		return 1
	}
	if install != nil {
		if err := install(e, context.Background()); err != nil {
			log.Print(errors.Join(err, e.close(context.Background())))
			return 1
		}
	}
	*shared = e
	code := m.Run()
	if err := e.close(context.Background()); err != nil {
		log.Print(err)
		return 1
	}
	return code
}

// start starts the API server. The first time ever it builds the server, which takes minutes and is
// shown on standard error.
func start(ctx context.Context) (*Environment, error) {
	dir, err := os.MkdirTemp("", "nfo-test-")
	if err != nil {
		return nil, err
	}
	e := &Environment{dir: dir, rights: map[string]*rights{ManagerUser: newRights(), RemoverUser: newRights()}}
	// The child ends when its standard input closes: also when this process is killed.
	e.command = exec.Command("go", "run", "-C", filepath.Join(Root(), "test", "cluster"), ".", "run", "--dir", dir, "--stdin")
	e.command.Stdout, e.command.Stderr = os.Stderr, os.Stderr
	e.command.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make cluster` has built it
	if e.stdin, err = e.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := e.command.Start(); err != nil {
		return nil, fmt.Errorf("starting the cluster: %w", err)
	}
	if err := errors.Join(e.buildChartReader(), e.connect(ctx)); err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	return e, nil
}

// connect waits for the cluster.
func (e *Environment) connect(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- e.command.Wait() }()
	ready := filepath.Join(e.dir, "ready")
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Minute, true, func(context.Context) (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("the cluster has ended: %w", err)
		default:
			_, err := os.Stat(ready)
			return err == nil, nil
		}
	})
	if err != nil {
		return fmt.Errorf("waiting for the cluster: %w", err)
	}
	if e.Admin, err = clientcmd.BuildConfigFromFlags("", e.Kubeconfig()); err != nil {
		return err
	}
	e.Admin.QPS, e.Admin.Burst = 500, 1000
	scheme, err := reference.NewScheme()
	if err != nil {
		return err
	}
	e.Client, err = client.New(e.Admin, client.Options{Scheme: scheme})
	return err
}

// Kubeconfig is a file by which programs are Admin.
func (e *Environment) Kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }

// install applies what `kubectl apply -k config` would, but for the Deployment, because there is no
// node, and for the webhooks, which come and go with the managers that serve them.
func (e *Environment) install(ctx context.Context) error {
	for _, pattern := range []string{"config/crd/nfo.dev_*.yaml", "config/rbac/identity.yaml", "config/rbac/role.yaml", "config/rbac/watched.yaml", "config/rbac/purger.yaml", "config/rbac/remover.yaml", "config/rbac/tenants.yaml", "config/rbac/workloads.yaml", "config/rbac/mirror.yaml", "config/rbac/mirror_purger.yaml", "config/webhook/tombstones.yaml", "config/webhook/manager.yaml", "config/webhook/purger.yaml"} {
		files, err := filepath.Glob(filepath.Join(Root(), pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("finding %s: %w", pattern, errors.Join(err, os.ErrNotExist))
		}
		for _, f := range files {
			if err := e.Apply(ctx, f, ""); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(e.bindRemover(ctx), e.bindScope(ctx), e.bindMirror(ctx)); err != nil {
		return err
	}
	// A CRD is served a moment after it was stored.
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		for _, kind := range []string{"ArtifactStoreList", "ArtifactManifestList", "NetworkFunctionDefinitionVersionList", "NetworkServiceDesignVersionList", "SiteNetworkServiceList", "TombstoneList", "ArtifactList"} {
			l := &unstructured.UnstructuredList{}
			l.SetAPIVersion("nfo.dev/v1alpha1")
			l.SetKind(kind)
			if err := e.Client.List(ctx, l); err != nil {
				return false, nil //nolint:nilerr // not served yet is what is waited for
			}
		}
		return true, nil
	})
}

// Apply applies every object of a YAML file, server-side, as a person would with kubectl. change,
// when not nil, may edit each object first.
func (e *Environment) Apply(ctx context.Context, file, namespace string, change ...func(*unstructured.Unstructured)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	for d := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		if u.Object == nil {
			continue
		}
		if namespace != "" {
			u.SetNamespace(namespace)
		}
		for _, c := range change {
			c(u)
		}
		err := e.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test"), client.ForceOwnership)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
}

// bindRemover gives RemoverUser its roles, which `kubectl apply -k config` does not: there an
// administrator removes.
func (e *Environment) bindRemover(ctx context.Context) error {
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: RemoverUser}}
	everywhere, here := &rbacv1.ClusterRoleBinding{Subjects: subjects}, &rbacv1.RoleBinding{Subjects: subjects}
	everywhere.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-remover"}
	here.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "nfo-remover"}
	for _, o := range []client.Object{everywhere, here} {
		o.SetName("nfo-remover")
		o.SetNamespace(v1alpha1.ManagerNamespace)
	}
	everywhere.SetNamespace("")
	return errors.Join(e.Client.Create(ctx, everywhere), e.Client.Create(ctx, here))
}

// bindScope lets the manager and the purges see which namespaces there are, as the chart does with workloads.enabled.
// What runs in them is for each test to grant.
func (e *Environment) bindScope(ctx context.Context) error {
	b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "nfo-workloads-scope"}}
	b.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "nfo-workloads-scope"}
	b.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}}
	return e.Client.Create(ctx, b)
}

// bindMirror lets the manager do what a mirror needs, as the chart does with mirror.enabled.
func (e *Environment) bindMirror(ctx context.Context) error {
	var failed []error
	for _, role := range []string{"nfo-mirror", "nfo-mirror-namespaces", "nfo-mirror-agents"} {
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role}}
		b.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
		b.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: ManagerUser}}
		failed = append(failed, e.Client.Create(ctx, b))
	}
	return errors.Join(failed...)
}

// As is a configuration that acts as another user.
func (e *Environment) As(user string) *rest.Config {
	c := rest.CopyConfig(e.Admin)
	c.Impersonate.UserName = user
	return c
}

// Judged is As for the product itself: LeastPrivilege judges what is done with it.
func (e *Environment) Judged(user string) *rest.Config {
	c := e.As(user)
	if r := e.rights[user]; r != nil {
		c.Wrap(r.record)
	}
	return c
}

// close ends the API server and removes its files.
func (e *Environment) close(ctx context.Context) error {
	err := e.stdin.Close()
	gone := func(context.Context) (bool, error) {
		_, err := os.Stat(filepath.Join(e.dir, "pid"))
		return os.IsNotExist(err), nil
	}
	return errors.Join(err, wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, gone), os.RemoveAll(e.dir))
}
