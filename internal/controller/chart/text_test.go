package chart

import (
	"errors"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
	"github.com/nfo-operator/nfo/internal/controller/pass/passtest"
)

func TestTextsOfChartsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	passtest.CutBetweenCharacters(t, "the schema bounds a problem", maxProblem, func(text string) string {
		return chartToRead{}.with(chart.Chart{}, "", v1alpha1.RegistryLocation{}, errors.New(text)).Problem
	})
	passtest.CutBetweenCharacters(t, "the schema bounds a remark", maxProblem, func(text string) string {
		return chartToRead{}.with(chart.Chart{Remarks: []string{text}}, "", v1alpha1.RegistryLocation{}, nil).Remark
	})
}
