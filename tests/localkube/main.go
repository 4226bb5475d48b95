// Command localkube runs a real Kubernetes without a container engine: etcd, the API server, controllers, scheduler,
// the kubelet and kubectl in one binary, with containers that are local processes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	// First of all: the steps between node and container run from its init function and go no further.
	_ "apperate.io/localkube/container"

	"apperate.io/localkube/cluster"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
)

const usage = `localkube: a real Kubernetes whose containers are local processes

  localkube up [--images FILE] [--audit] [--foreground] [--parent PID] [--mounts MODE] [--timeout 120s]
  localkube down
  localkube status                      exit code 0 when the node is ready
  localkube kubectl ARGUMENTS...
  localkube component NAME ACTION       kill, stop, start, restart, pause, resume
  localkube run-component NAME          in this process (the supervisor's way to start one)

Each takes --dir DIR (default ` + cluster.DefaultDir + `), before kubectl's own arguments.
Components: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet.
`

func main() {
	name := filepath.Base(os.Args[0])
	arguments := os.Args[1:]
	if name == "kubectl" {
		os.Exit(runKubectl(arguments))
	}
	if cluster.IsComponent(name) {
		arguments = append([]string{"run-component", name}, arguments...)
	}
	code, err := run(context.Background(), arguments)
	if err != nil {
		fmt.Fprintln(os.Stderr, "localkube:", err)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

func run(ctx context.Context, arguments []string) (int, error) {
	if len(arguments) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2, nil
	}
	command, rest := arguments[0], arguments[1:]
	switch command {
	case "up":
		return 0, up(ctx, rest)
	case "down":
		dir, _, err := parse(flag.NewFlagSet("down", flag.ContinueOnError), rest, 0)
		if err != nil {
			return 2, err
		}
		return 0, cluster.Down(dir, os.Stdout)
	case "status":
		return status(ctx, rest)
	case "component":
		dir, words, err := parse(flag.NewFlagSet("component", flag.ContinueOnError), rest, 2)
		if err != nil {
			return 2, err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return 0, cluster.Control(ctx, dir, words[0], words[1])
	case "run-component":
		dir, words, err := parse(flag.NewFlagSet("run-component", flag.ContinueOnError), rest, 1)
		if err != nil {
			return 2, err
		}
		return 0, cluster.RunComponent(ctx, dir, words[0])
	case "kubectl":
		return kubectlFor(rest)
	case "help", "-h", "--help":
		fmt.Print(usage)
		return 0, nil
	}
	fmt.Fprint(os.Stderr, usage)
	return 2, fmt.Errorf("no command is called %q", command)
}

// parse reads flags and words in any order; every command knows --dir.
func parse(flags *flag.FlagSet, arguments []string, count int) (cluster.Dir, []string, error) {
	dir := flags.String("dir", cluster.DefaultDir, "the cluster's directory")
	var words []string
	for {
		if err := flags.Parse(arguments); err != nil {
			return "", nil, err
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
		arguments = flags.Args()[1:]
	}
	if len(words) != count {
		return "", nil, fmt.Errorf("%s takes %d words, not %q", flags.Name(), count, words)
	}
	absolute, err := filepath.Abs(*dir)
	return cluster.Dir(absolute), words, err
}

func up(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	var options cluster.UpOptions
	flags.StringVar(&options.Images, "images", "", "the file that maps images to local processes")
	flags.BoolVar(&options.Audit, "audit", false, "write an audit log to DIR/audit.log")
	flags.BoolVar(&options.Foreground, "foreground", false, "stay until Ctrl-C")
	flags.IntVar(&options.Parent, "parent", 0, "end the cluster when this process is gone")
	flags.StringVar(&options.Mounts, "mounts", "auto", "auto, mount, user+mount or paths")
	flags.DurationVar(&options.Timeout, "timeout", 2*time.Minute, "how long to wait for the node")
	dir, _, err := parse(flags, arguments, 0)
	if err != nil {
		return err
	}
	if options.Images != "" {
		if options.Images, err = filepath.Abs(options.Images); err != nil {
			return err
		}
		if _, err := os.Stat(options.Images); err != nil {
			return err
		}
	}
	return cluster.Up(ctx, dir, options, os.Stdout)
}

func status(ctx context.Context, arguments []string) (int, error) {
	dir, _, err := parse(flag.NewFlagSet("status", flag.ContinueOnError), arguments, 0)
	if err != nil {
		return 2, err
	}
	ready, err := cluster.Status(ctx, dir, os.Stdout)
	if err != nil || ready {
		return 0, err
	}
	return 1, nil
}

// kubectlFor runs kubectl for a cluster: `kubectl [--dir DIR] ARGUMENTS`.
func kubectlFor(arguments []string) (int, error) {
	dir := cluster.DefaultDir
	if len(arguments) >= 2 && arguments[0] == "--dir" {
		dir, arguments = arguments[1], arguments[2:]
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return 1, err
	}
	kubeconfig := cluster.Dir(absolute).Kubeconfig()
	if _, err := os.Stat(kubeconfig); err != nil {
		return 1, errors.New("no cluster runs in " + absolute + ": start it with `localkube up`")
	}
	if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
		return 1, err
	}
	return runKubectl(arguments), nil
}

func runKubectl(arguments []string) int {
	os.Args = append([]string{"kubectl"}, arguments...)
	return cli.Run(kubectl.NewDefaultKubectlCommand())
}
