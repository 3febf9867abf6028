package mirror

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/nfo-operator/nfo/internal/livelist"
)

// templatesPage and templatesPages bound the objects that are read of each kind that creates pods.
const (
	templatesPage  = 50
	templatesPages = 20
)

// makers are the kinds that can have a template without a pod: suspended, not due, or scaled to zero.
var makers = []listed{
	{"apis/batch/v1", "cronjobs", "CronJob", templatesPage, templatesPages},
	{"apis/batch/v1", "jobs", "Job", templatesPage, templatesPages},
	{"apis/apps/v1", "deployments", "Deployment", templatesPage, templatesPages},
	{"apis/apps/v1", "statefulsets", "StatefulSet", templatesPage, templatesPages},
	{"apis/apps/v1", "daemonsets", "DaemonSet", templatesPage, templatesPages},
}

// maker has the fields that are read of an object that creates pods: its template, in both places where kinds have it.
type maker struct {
	Spec struct {
		Template    template `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template template `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

type template struct {
	Spec podSpec `json:"spec"`
}

// secrets returns the pull secrets of the template, if it uses the image of the question.
func (o *maker) secrets(q Question) []string {
	for _, pod := range []*podSpec{&o.Spec.Template.Spec, &o.Spec.JobTemplate.Spec.Template.Spec} {
		if pod.uses(q.Image, q.Mirror.Spec.Mirror.PullAddress) {
			return pod.Secrets.first
		}
	}
	return nil
}

// templateSecrets returns the pull secrets of the templates of a namespace that use an
// image. A kind that the operator has no permission to list is skipped: the
// administrator may withhold this permission, and the other logins are still tried.
func (m *Mirror) templateSecrets(ctx context.Context, q Question) (names []string, err error) {
	for _, kind := range makers {
		if len(names) == maxLogins {
			break
		}
		err := m.lists.each(ctx, kind, q.Namespace, func(one livelist.Decoder) error {
			var o maker
			if err := one.Decode(&o); err != nil {
				return err
			}
			names = appendNames(names, o.secrets(q)...)
			return enough(names)
		})
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("listing what makes pods in %s: %w", q.Namespace, err)
		}
	}
	return names, nil
}
