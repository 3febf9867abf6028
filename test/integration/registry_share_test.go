package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/certificate"
	"github.com/nfo-operator/nfo/test/environment"
)

// registryAccount creates the registry's account in the scene's namespace,
// with the rights and the empty objects that the chart creates for it.
func (s *scene) registryAccount() {
	s.t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.ns, Name: v1alpha1.RegistryName}}
	s.create(
		&corev1.ServiceAccount{ObjectMeta: s.meta(v1alpha1.RegistryName)},
		&corev1.Secret{ObjectMeta: s.meta(v1alpha1.RegistrySecretName)}, &corev1.Secret{ObjectMeta: s.meta(v1alpha1.RegistryUploadsName)},
		&corev1.ConfigMap{ObjectMeta: s.meta(v1alpha1.RegistryBundleName)},
	)
	all := s.ns + "-" + v1alpha1.RegistryName // each scene needs its own ClusterRole
	err := env.Apply(s.t.Context(), filepath.Join(environment.Root(), "config/rbac/registry.yaml"), s.ns, func(u *unstructured.Unstructured) {
		if u.GetKind() == "ClusterRole" {
			u.SetNamespace("")
			u.SetName(all)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.create(
		&rbacv1.RoleBinding{ObjectMeta: s.meta(v1alpha1.RegistryName), Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: v1alpha1.RegistryName}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: all}, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: all}},
	)
	s.t.Cleanup(func() {
		for _, o := range []client.Object{&rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}} {
			o.SetName(all)
			_ = env.Client.Delete(context.WithoutCancel(s.t.Context()), o)
		}
	})
	s.Eventually(func() bool {
		return s.allowed(v1alpha1.RegistryName, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{v1alpha1.RegistrySecretName}, Verbs: []string{"get"}}) &&
			s.allowed(v1alpha1.RegistryName, rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}})
	}).Should(gomega.BeTrue())
}

// bundle returns the ConfigMap with the authorities that clients of the registry trust.
func (s *scene) bundle() *corev1.ConfigMap {
	s.t.Helper()
	o := &corev1.ConfigMap{ObjectMeta: s.meta(v1alpha1.RegistryBundleName)}
	if err := env.Client.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// Three replicas at the same time rotate the registry's certificate and its authority, and fill an
// emptied ConfigMap, with the optimistic locking of a real API server and the registry's own rights.
func TestI13TheRegistrysCertificateIsRotatedByAllReplicas(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.registryAccount()
	live, err := client.New(env.As("system:serviceaccount:"+s.ns+":"+v1alpha1.RegistryName), client.Options{Scheme: env.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	clk := clocktesting.NewFakeClock(time.Now())
	var replicas []*certificate.Keeper
	for range 3 {
		replicas = append(replicas, certificate.New(certificate.Options{
			Client: live, Namespace: s.ns, Secret: v1alpha1.RegistrySecretName, Service: v1alpha1.RegistryName, ConfigMap: v1alpha1.RegistryBundleName,
			Names: []string{"127.0.0.1"}, Of: "registry", Clock: clk, Log: logr.Discard(),
		}))
	}
	const year = 365 * 24 * time.Hour
	for _, tc := range []struct {
		reason      string
		after       time.Duration
		emptied     bool
		authorities int
	}{
		{reason: "all is made once", authorities: 1},
		{reason: "the leaf is renewed", after: 61 * 24 * time.Hour, authorities: 1},
		{reason: "the next authority is announced", after: 7 * year, authorities: 2},
		{reason: "what somebody has emptied is filled again, and the hour begins anew", after: 59 * time.Minute, emptied: true, authorities: 2},
		{reason: "the next authority signs", after: time.Hour, authorities: 2},
		{reason: "the old authority leaves", after: time.Hour, authorities: 1},
	} {
		if tc.emptied {
			o := s.bundle()
			o.Data = nil
			if err := env.Client.Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		clk.Step(tc.after)
		for range 2 { // a replica that was ahead of the others serves what was decided in the first round
			var all errgroup.Group
			for _, k := range replicas {
				all.Go(func() error { return k.Ensure(t.Context()) })
			}
			if err := all.Wait(); err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
		}
		text := s.bundle().Data["ca.crt"]
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(text))
		for i, k := range replicas {
			c, err := k.GetCertificate(nil)
			if err != nil || k.Ready(nil) != nil {
				t.Fatalf("%s: replica %d: %v, ready: %v", tc.reason, i, err, k.Ready(nil))
			}
			for _, name := range []string{v1alpha1.RegistryName + "." + s.ns + ".svc", "127.0.0.1"} {
				if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: clk.Now()}); err != nil {
					t.Errorf("%s: replica %d: %v", tc.reason, i, err)
				}
			}
		}
		if n := countAuthorities([]byte(text)); n != tc.authorities {
			t.Errorf("%s: %d authorities, want %d", tc.reason, n, tc.authorities)
		}
	}
}

// registryProcess runs `nfo registry` with its files in folder, and returns its addresses. It ends with the test.
func (s *scene) registryProcess(folder, kubeconfig string) (address, probes string) {
	s.t.Helper()
	dir, err := programs()
	if err != nil {
		s.t.Fatal(err)
	}
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // the process takes the port
		return l.Addr().String()
	}
	address, probes = free(), free()
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), filepath.Join(dir, "nfo"), "registry", "--root="+folder, "--bind-address="+address, "--health-probe-bind-address="+probes,
		"--namespace="+s.ns, "--operators=system:serviceaccount:"+s.ns+":operator")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	log := &written{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil || s.t.Failed() {
			s.t.Errorf("nfo registry ended: %v\n%s", err, log)
		}
	})
	return address, probes
}

// written collects the output of a process, for concurrent use.
type written struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// Two processes of `nfo registry` on one folder share a certificate, which clients of the
// ConfigMap trust, and the secret of uploads: an upload can continue at the other process.
func TestReplicasOfTheRegistryShareWhatTheyKeepInTheCluster(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.registryAccount()
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta("operator")})
	token, err := os.ReadFile(s.token(s.ns, "operator"))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, folder := s.account(v1alpha1.RegistryName), t.TempDir()
	one, oneProbes := s.registryProcess(folder, kubeconfig)
	two, twoProbes := s.registryProcess(folder, kubeconfig)
	for _, probes := range []string{oneProbes, twoProbes} {
		s.Eventually(func() (string, error) { return s.get(http.DefaultClient, "http://"+probes+"/readyz") }, time.Minute).Should(gomega.HavePrefix("200 ok"))
	}

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(s.bundle().Data["ca.crt"])) {
		t.Fatal("the ConfigMap has no authority")
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(trusting.CloseIdleConnections)
	for _, address := range []string{one, two} {
		if got, err := s.get(trusting, "https://"+address+"/v2/"); err != nil || !strings.HasPrefix(got, "401") {
			t.Errorf("a client without a token gets %q, %v", got, err)
		}
	}
	do := func(method, url, body string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("nfo", string(token))
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := trusting.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // only the headers matter
		return resp
	}
	began := do(http.MethodPost, "https://"+one+"/v2/acme/upf/blobs/uploads/", "")
	location := began.Header.Get("Location")
	if began.StatusCode != http.StatusAccepted || !strings.HasPrefix(location, "/v2/") {
		t.Fatalf("the upload has not begun: %s, at %q", began.Status, location)
	}
	if went := do(http.MethodPatch, "https://"+two+location, "part"); went.StatusCode != http.StatusAccepted {
		t.Errorf("the upload does not go on at the other replica: %s", went.Status)
	}
}

// get returns the status and body of an answer.
func (s *scene) get(c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return fmt.Sprint(resp.StatusCode, " ", string(body)), err
}
