package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// reference is HOST/REPOSITORY[:TAG][@DIGEST].
type reference struct{ host, repository, tag, digest string }

func parseReference(text string) (reference, error) {
	var r reference
	rest, digest, _ := strings.Cut(text, "@")
	host, path, found := strings.Cut(rest, "/")
	r.host, r.digest = host, digest
	r.repository, r.tag, _ = strings.Cut(path, ":")
	if !found || r.host == "" || r.repository == "" {
		return r, fmt.Errorf("%q is not HOST/REPOSITORY[:TAG][@DIGEST]", text)
	}
	return r, nil
}

func (r reference) String() string {
	text := r.host + "/" + r.repository
	if r.tag != "" {
		text += ":" + r.tag
	}
	if r.digest != "" {
		text += "@" + r.digest
	}
	return text
}

// open opens the repository over plain HTTP.
func (r reference) open() (*remote.Repository, error) {
	repo, err := remote.NewRepository(r.host + "/" + r.repository)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", r, err)
	}
	repo.PlainHTTP = true
	return repo, nil
}

func newTagsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "tags HOST/PATH",
		Short:   "List every tag of the repositories at and below a path, with its digest",
		Example: "  demo tags $REGISTRY/acme/upf-1.0.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			below, err := parseReference(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), requestTimeout)
			defer cancel()
			found, err := tagsBelow(ctx, below)
			for _, r := range found {
				fmt.Fprintln(cmd.OutOrStdout(), r)
			}
			if err == nil && len(found) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no tags")
			}
			return err
		},
	}
}

// tagsBelow lists the tags of a repository and of those below its path, with their digests.
func tagsBelow(ctx context.Context, below reference) ([]reference, error) {
	catalog, err := remote.NewRegistry(below.host)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", below.host, err)
	}
	catalog.PlainHTTP = true
	var found []reference
	err = catalog.Repositories(ctx, "", func(names []string) error {
		for _, name := range names {
			if !strings.HasPrefix(name+"/", below.repository+"/") {
				continue
			}
			more, err := tagsOf(ctx, reference{host: below.host, repository: name})
			if err != nil {
				return err
			}
			found = append(found, more...)
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("listing tags: %w", err)
	}
	return found, nil
}

func tagsOf(ctx context.Context, r reference) ([]reference, error) {
	repo, err := r.open()
	if err != nil {
		return nil, err
	}
	var found []reference
	err = repo.Tags(ctx, "", func(tags []string) error {
		for _, tag := range tags {
			desc, err := repo.Resolve(ctx, tag)
			if err != nil {
				return fmt.Errorf("resolving %s: %w", tag, err)
			}
			found = append(found, reference{r.host, r.repository, tag, desc.Digest.String()})
		}
		return nil
	})
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return found, nil // a repository without a tag any more
	}
	return found, err
}

func newResolveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resolve HOST/REPOSITORY[:TAG][@DIGEST]...",
		Short: "Ask a registry for digests, or for tags where no digest is given",
		Long:  `Ask a registry for digests, or for tags where no digest is given. It fails if one is not there.`,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), requestTimeout)
			defer cancel()
			missing := 0
			for _, arg := range args {
				line, there, err := resolve(ctx, arg)
				if err != nil {
					return err
				}
				if !there {
					missing++
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			if missing > 0 {
				return fmt.Errorf("%d of %d are not there", missing, len(args))
			}
			return nil
		},
	}
}

func resolve(ctx context.Context, text string) (line string, there bool, err error) {
	r, err := parseReference(text)
	if err != nil {
		return "", false, err
	}
	repo, err := r.open()
	if err != nil {
		return "", false, err
	}
	by := r.tag
	if r.digest != "" {
		by, r.tag = r.digest, ""
	}
	desc, err := repo.Resolve(ctx, by)
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return fmt.Sprintf("404 Not Found  %s", r), false, nil
	case err != nil:
		return "", false, fmt.Errorf("resolving %s: %w", r, err)
	}
	r.digest = desc.Digest.String()
	return fmt.Sprintf("200 OK  %s", r), true, nil
}
