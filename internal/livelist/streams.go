package livelist

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Streams returns a client for JSON lists of any kind, to be read with Decode.
// It does not limit the rate of requests, so the caller must bound how many run.
func Streams(kube *rest.Config, through *http.Client) (rest.Interface, error) {
	kube = rest.CopyConfig(kube)
	kube.ContentConfig = rest.ContentConfig{AcceptContentTypes: "application/json", ContentType: "application/json", NegotiatedSerializer: scheme.Codecs.WithoutConversion()}
	kube.QPS = -1
	api, err := rest.UnversionedRESTClientForConfigAndClient(kube, through)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server for lists: %w", err)
	}
	return api, nil
}

// Page sends a request for a list of a kind, and reads the answer with Decode.
func Page(ctx context.Context, q *rest.Request, kind string, each func(Decoder) error) (metav1.ListMeta, error) {
	body, err := q.Stream(ctx)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	meta, err := Decode(body, kind, each)
	if err != nil {
		err = fmt.Errorf("reading a %s: %w", kind, err)
	}
	return meta, errors.Join(err, body.Close())
}
