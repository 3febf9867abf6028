package controller

import (
	"errors"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/chart"
)

func TestTextsOfChartsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	CutBetweenCharacters(t, "the schema bounds a problem", maxProblem, func(text string) string {
		return chartToRead{}.with(chart.Chart{}, "", v1alpha1.RegistryLocation{}, errors.New(text)).Problem
	})
	CutBetweenCharacters(t, "the schema bounds a remark", maxProblem, func(text string) string {
		return chartToRead{}.with(chart.Chart{Remarks: []string{text}}, "", v1alpha1.RegistryLocation{}, nil).Remark
	})
}
