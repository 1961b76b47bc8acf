// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import "context"

const residentUnit = 1

const onUnix = "Processes are measured on Unix alone, where the kernel tells what each took."

func processBench(context.Context, *place) (report, error) {
	return report{notes: []string{onUnix}}, nil
}

func serveBench(context.Context, *place) (report, error) {
	return report{notes: []string{onUnix}}, nil
}

func soakBench(context.Context, *place) (report, error) {
	return report{notes: []string{onUnix}}, nil
}

func herdOfProcesses(context.Context, *place, *clouds, *redisServer, *report) error { return nil }
