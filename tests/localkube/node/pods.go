package node

import (
	"context"
	"os"
	"reflect"

	v1 "k8s.io/api/core/v1"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/config"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
)

// podSource is the kubelet's stream of pods from the API server. An ordinary user can neither change users nor give
// files away, so for it the pods lose what asks for that, on their way to the kubelet: everything runs as the user.
func podSource(ctx context.Context, client clientset.Interface, recorder record.EventRecorderLogger, startup kubeletutil.PodStartupLatencyTracker) *config.PodConfig {
	source := config.NewPodConfig(recorder, startup)
	pods := source.Channel(ctx, kubetypes.ApiserverSource)
	synced := func() bool { return true }
	if os.Getuid() == 0 {
		config.NewSourceApiserver(klog.FromContext(ctx), client, Name, synced, pods)
		return source
	}
	config.NewSourceApiserver(klog.FromContext(ctx), client, Name, synced, changed(pods, forgetUsers))
	return source
}

// changed returns a channel whose pods are changed on their way to another. The type of such updates is not exported.
func changed[T any](to chan<- T, change func(*v1.Pod)) chan<- T {
	from := make(chan T)
	go func() {
		for update := range from {
			pods := reflect.ValueOf(update).FieldByName("Pods").Interface().([]*v1.Pod)
			for i := range pods {
				pods[i] = pods[i].DeepCopy()
				change(pods[i])
			}
			to <- update
		}
	}()
	return from
}

func forgetUsers(pod *v1.Pod) {
	if security := pod.Spec.SecurityContext; security != nil {
		security.RunAsUser, security.RunAsGroup = nil, nil
		security.FSGroup, security.SupplementalGroups = nil, nil
	}
	for _, containers := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if security := containers[i].SecurityContext; security != nil {
				security.RunAsUser, security.RunAsGroup = nil, nil
			}
		}
	}
}
