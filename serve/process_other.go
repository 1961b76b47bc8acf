// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package serve

// processes finds nobody: no connection over TCP has an inode here.
type processes struct{}

func newProcesses() processes { return processes{} }

func (*processes) holding(uint64, uint32, func() bool) (pid int32, whole bool) { return 0, true }
