package main

import (
	"testing"

	"github.com/agcluster/agcluster/policies/sdk/sdktest"
)

func TestCases(t *testing.T) { sdktest.Run(t, "cases.yaml", judge) }
