//go:build wasip1

package main

import "github.com/agcluster/agcluster/policies/sdk"

// buffers is the module's only state (exports have no receiver), and the host puts it back after every evaluation.
var buffers sdk.Buffers

//go:wasmexport agcluster_abi_version
func abiVersion() uint32 { return sdk.ABIVersion }

//go:wasmexport alloc
func alloc(n uint32) uint32 { return buffers.Alloc(n) }

//go:wasmexport evaluate
func evaluate(_, n uint32) uint64 { return sdk.Evaluate(&buffers, n, judge) }
