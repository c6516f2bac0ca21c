#!/usr/bin/env bash
# gocloud.dev 0.46.0, fileblob (under Pulumi's file:// backends): an object is two files, and only one is replaced whole.
#
# Guess: a blob in a directory is replaced by writing a temporary file and renaming it; whoever reads sees the old or the
# new object, whenever the writer dies. No second file matters for reading the content.
# Seen (Go 1.26): beside each object stands NAME.attrs with its content type and MD5. It is emptied and filled in place,
# before the rename. Where it was left empty, reading the content fails with "EOF" although the content is whole; where
# it does not exist, reading works. With "metadata=skip" in the bucket's URL none is written.
# Hence a Pulumi engine that is killed at that moment leaves a stack of which each command says "failed to load
# checkpoint: EOF": the cure is to remove the .attrs file.
set -euo pipefail
place=$(mktemp -d)
trap 'chmod -R u+w "$place"; rm -rf "$place"' EXIT
cd "$place"
export GOFLAGS=-mod=mod GOWORK=off
cat >go.mod <<'MODULE'
module finding

go 1.24

require gocloud.dev v0.46.0
MODULE
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob"
)

func must(what string, is bool) {
	if !is {
		fmt.Println("changed:", what)
		os.Exit(1)
	}
}

func opened(directory, query string) *blob.Bucket {
	bucket, err := blob.OpenBucket(context.Background(), "file://"+directory+"?no_tmp_dir=true"+query)
	must(fmt.Sprint("a bucket opens: ", err), err == nil)
	must("an object is written", bucket.WriteAll(context.Background(), "state.json", []byte(`{"whole": true}`), nil) == nil)
	return bucket
}

func main() {
	context := context.Background()
	directory, _ := os.MkdirTemp(".", "with")
	directory, _ = filepath.Abs(directory)
	bucket := opened(directory, "")
	sidecar := filepath.Join(directory, "state.json.attrs")
	written, err := os.ReadFile(sidecar)
	must("attributes stand beside the object", err == nil && strings.Contains(string(written), "md5"))

	must("the attributes can be emptied", os.Truncate(sidecar, 0) == nil)
	_, err = bucket.ReadAll(context, "state.json")
	must(fmt.Sprint("the object is not read: ", err), err != nil && strings.Contains(err.Error(), "EOF"))
	failure := err.Error()
	content, _ := os.ReadFile(filepath.Join(directory, "state.json"))
	must("its content is whole", string(content) == `{"whole": true}`)

	must("the attributes can be removed", os.Remove(sidecar) == nil)
	content, err = bucket.ReadAll(context, "state.json")
	must("the object is read without them", err == nil && string(content) == `{"whole": true}`)

	without, _ := os.MkdirTemp(".", "without")
	without, _ = filepath.Abs(without)
	opened(without, "&metadata=skip")
	_, err = os.Stat(filepath.Join(without, "state.json.attrs"))
	must("metadata=skip writes none", os.IsNotExist(err))
	fmt.Printf("fileblob: whole content, empty attributes: %q; without attributes: %q\n", failure, content)
}
GO
GOPATH="$place/go" GOCACHE="$place/cache" go mod tidy >tidy.log 2>&1 || { cat tidy.log; exit 1; }
GOPATH="$place/go" GOCACHE="$place/cache" go run .
