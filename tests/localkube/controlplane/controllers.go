package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	quota "k8s.io/apiserver/pkg/quota/v1/generic"
	cacheddiscovery "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	"k8s.io/kubernetes/pkg/controller/podgc"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/tainteviction"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
	"k8s.io/kubernetes/pkg/controller/volume/persistentvolume"
	"k8s.io/kubernetes/pkg/controller/volume/pvcprotection"
	"k8s.io/kubernetes/pkg/controller/volume/pvprotection"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
	serviceaccounttokens "k8s.io/kubernetes/pkg/serviceaccount"
)

// Controllers is what the controllers are started with.
type Controllers struct {
	Kubeconfig string
	RootCA     string
	SigningKey string
	Volumes    string // where the host directories of persistent volumes are made
}

// How soon a node that tells nothing counts as gone. Kubernetes' own 50 seconds would make every test of it long.
const (
	nodeMonitorPeriod      = 2 * time.Second
	nodeMonitorGracePeriod = 20 * time.Second
	nodeStartupGracePeriod = 30 * time.Second
)

const workers = 10

// manager holds what the controllers are made from. It takes the place of kube-controller-manager, with the
// controllers that a cluster of one node needs and none of the others: they would only lengthen the build.
type manager struct {
	ctx       context.Context
	config    *rest.Config
	client    clientset.Interface
	informers informers.SharedInformerFactory
	generic   informerfactory.InformerFactory
	metadata  metadata.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	started   chan struct{}
	settings  Controllers
}

type controller struct {
	name  string
	start func(*manager) error
}

// RunControllers runs the controllers until the context ends.
func RunControllers(ctx context.Context, settings Controllers) error {
	m, err := newManager(ctx, settings)
	if err != nil {
		return err
	}
	if err := waitForServer(ctx, m.client); err != nil {
		return err
	}
	for _, c := range controllers() {
		if err := c.start(m); err != nil {
			return fmt.Errorf("controller %s: %w", c.name, err)
		}
	}
	m.informers.Start(ctx.Done())
	m.generic.Start(ctx.Done())
	close(m.started)
	<-ctx.Done()
	return nil
}

func newManager(ctx context.Context, settings Controllers) (*manager, error) {
	config, err := clientcmd.BuildConfigFromFlags("", settings.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst, config.UserAgent = 500, 1000, "kube-controller-manager"
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	shared := informers.NewSharedInformerFactory(client, resync())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cacheddiscovery.NewMemCacheClient(client.Discovery()))
	go wait.Until(mapper.Reset, 30*time.Second, ctx.Done())
	return &manager{
		ctx: ctx, config: config, client: client, informers: shared, metadata: metadataClient, mapper: mapper,
		generic: informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(metadataClient, resync())),
		started: make(chan struct{}), settings: settings,
	}, nil
}

func resync() time.Duration { return 12 * time.Hour }

func waitForServer(ctx context.Context, client clientset.Interface) error {
	return wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var code int
		client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code)
		return code == http.StatusOK, nil
	})
}

func controllers() []controller {
	return []controller{
		{"job", startJob},
		{"deployment", startDeployment},
		{"replicaset", startReplicaSet},
		{"statefulset", startStatefulSet},
		{"garbage-collector", startGarbageCollector},
		{"namespace", startNamespace},
		{"serviceaccount", startServiceAccounts},
		{"serviceaccount-token", startServiceAccountTokens},
		{"root-ca-certificate-publisher", startRootCA},
		{"node-lifecycle", startNodeLifecycle},
		{"taint-eviction", startTaintEviction},
		{"pod-garbage-collector", startPodGC},
		{"ttl-after-finished", startTTLAfterFinished},
		{"disruption", startDisruption},
		{"resourcequota", startResourceQuota},
		{"clusterrole-aggregation", startClusterRoleAggregation},
		{"persistentvolume-binder", startVolumeBinder},
		{"persistentvolumeclaim-protection", startClaimProtection},
		{"persistentvolume-protection", startVolumeProtection},
		{"volume-provisioner", startProvisioner},
	}
}

func startJob(m *manager) error {
	c, err := job.NewController(m.ctx, m.client, m.informers.Core().V1().Pods(), m.informers.Batch().V1().Jobs(), nil, nil)
	if err == nil {
		go c.Run(m.ctx, workers)
	}
	return err
}

func startDeployment(m *manager) error {
	apps := m.informers.Apps().V1()
	c, err := deployment.NewDeploymentController(m.ctx, apps.Deployments(), apps.ReplicaSets(), m.informers.Core().V1().Pods(), m.client)
	if err == nil {
		go c.Run(m.ctx, workers)
	}
	return err
}

func startReplicaSet(m *manager) error {
	c := replicaset.NewReplicaSetController(m.ctx, m.informers.Apps().V1().ReplicaSets(), m.informers.Core().V1().Pods(), m.client, replicaset.BurstReplicas)
	go c.Run(m.ctx, workers)
	return nil
}

func startStatefulSet(m *manager) error {
	core, apps := m.informers.Core().V1(), m.informers.Apps().V1()
	c := statefulset.NewStatefulSetController(m.ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), m.client)
	go c.Run(m.ctx, workers)
	return nil
}

func startGarbageCollector(m *manager) error {
	graph := garbagecollector.NewDependencyGraphBuilder(m.ctx, m.metadata, m.mapper, map[schema.GroupResource]struct{}{
		{Resource: "events"}: {}, {Group: "events.k8s.io", Resource: "events"}: {},
	}, m.generic, m.started)
	c, err := garbagecollector.NewComposedGarbageCollector(m.ctx, m.client, m.metadata, m.mapper, graph)
	if err != nil {
		return err
	}
	// New kinds (CRDs) are found by asking again; upstream's 30 seconds would delay their first deletion in tests.
	const period = 5 * time.Second
	go c.Run(m.ctx, 2*workers, period)
	go c.Sync(m.ctx, m.client.Discovery(), period)
	return nil
}

func startNamespace(m *manager) error {
	c := namespace.NewNamespaceController(m.ctx, m.client, m.metadata, m.client.Discovery().ServerPreferredNamespacedResources,
		m.informers.Core().V1().Namespaces(), 5*time.Minute, v1.FinalizerKubernetes)
	go c.Run(m.ctx, workers)
	return nil
}

func startServiceAccounts(m *manager) error {
	core := m.informers.Core().V1()
	c, err := serviceaccount.NewServiceAccountsController(klog.FromContext(m.ctx), core.ServiceAccounts(), core.Namespaces(), m.client,
		serviceaccount.DefaultServiceAccountsControllerOptions())
	if err == nil {
		go c.Run(m.ctx, 2)
	}
	return err
}

func startServiceAccountTokens(m *manager) error {
	key, err := keyutil.PrivateKeyFromFile(m.settings.SigningKey)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(m.settings.RootCA)
	if err != nil {
		return err
	}
	generator, err := serviceaccounttokens.JWTTokenGenerator(serviceaccounttokens.LegacyIssuer, key)
	if err != nil {
		return err
	}
	core := m.informers.Core().V1()
	c, err := serviceaccount.NewTokensController(klog.FromContext(m.ctx), core.ServiceAccounts(), core.Secrets(), m.client,
		serviceaccount.TokensControllerOptions{TokenGenerator: generator, RootCA: ca})
	if err == nil {
		go c.Run(m.ctx, 2)
	}
	return err
}

func startRootCA(m *manager) error {
	ca, err := os.ReadFile(m.settings.RootCA)
	if err != nil {
		return err
	}
	core := m.informers.Core().V1()
	c, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), m.client, ca)
	if err == nil {
		go c.Run(m.ctx, 2)
	}
	return err
}

func startNodeLifecycle(m *manager) error {
	core := m.informers.Core().V1()
	c, err := nodelifecycle.NewNodeLifecycleController(m.ctx, m.informers.Coordination().V1().Leases(), core.Pods(), core.Nodes(),
		m.informers.Apps().V1().DaemonSets(), m.client, nodeMonitorPeriod, nodeStartupGracePeriod, nodeMonitorGracePeriod, 10, 10, 50, 0.55)
	if err == nil {
		go c.Run(m.ctx)
	}
	return err
}

func startTaintEviction(m *manager) error {
	core := m.informers.Core().V1()
	c, err := tainteviction.New(m.ctx, m.client, core.Pods(), core.Nodes(), "taint-eviction-controller")
	if err == nil {
		go c.Run(m.ctx)
	}
	return err
}

func startPodGC(m *manager) error {
	core := m.informers.Core().V1()
	go podgc.NewPodGC(m.ctx, m.client, core.Pods(), core.Nodes(), 12500).Run(m.ctx)
	return nil
}

func startTTLAfterFinished(m *manager) error {
	go ttlafterfinished.New(m.ctx, m.informers.Batch().V1().Jobs(), m.client).Run(m.ctx, workers)
	return nil
}

func startDisruption(m *manager) error {
	scaleClient, err := scale.NewForConfig(m.config, m.mapper, dynamic.LegacyAPIPathResolverFunc,
		scale.NewDiscoveryScaleKindResolver(m.client.Discovery()))
	if err != nil {
		return err
	}
	core, apps := m.informers.Core().V1(), m.informers.Apps().V1()
	c := disruption.NewDisruptionController(m.ctx, core.Pods(), m.informers.Policy().V1().PodDisruptionBudgets(),
		core.ReplicationControllers(), apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), m.client, m.mapper, scaleClient,
		m.client.Discovery())
	go c.Run(m.ctx)
	return nil
}

func startResourceQuota(m *manager) error {
	listers := quota.ListerFuncForResourceFunc(m.informers.ForResource)
	configuration, err := quotainstall.NewQuotaConfigurationForControllers(listers, m.informers)
	if err != nil {
		return err
	}
	discover := m.client.Discovery().ServerPreferredNamespacedResources
	c, err := resourcequota.NewController(m.ctx, &resourcequota.ControllerOptions{
		QuotaClient:               m.client.CoreV1(),
		ResourceQuotaInformer:     m.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              func() time.Duration { return 5 * time.Minute },
		InformerFactory:           m.generic,
		ReplenishmentResyncPeriod: resync,
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          m.started,
		Registry:                  quota.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err == nil {
		go c.Run(m.ctx, workers)
		go c.Sync(m.ctx, discover, 30*time.Second)
	}
	return err
}

func startClusterRoleAggregation(m *manager) error {
	c := clusterroleaggregation.NewClusterRoleAggregation(m.informers.Rbac().V1().ClusterRoles(), m.client.RbacV1())
	go c.Run(m.ctx, 5)
	return nil
}

func startVolumeBinder(m *manager) error {
	core := m.informers.Core().V1()
	c, err := persistentvolume.NewController(m.ctx, persistentvolume.ControllerParameters{
		KubeClient: m.client, SyncPeriod: 15 * time.Second,
		VolumeInformer: core.PersistentVolumes(), ClaimInformer: core.PersistentVolumeClaims(),
		ClassInformer: m.informers.Storage().V1().StorageClasses(), PodInformer: core.Pods(), NodeInformer: core.Nodes(),
		EnableDynamicProvisioning: true,
	})
	if err == nil {
		go c.Run(m.ctx)
	}
	return err
}

func startClaimProtection(m *manager) error {
	core := m.informers.Core().V1()
	c, err := pvcprotection.NewPVCProtectionController(klog.FromContext(m.ctx), core.PersistentVolumeClaims(), core.Pods(), m.client)
	if err == nil {
		go c.Run(m.ctx, 1)
	}
	return err
}

func startVolumeProtection(m *manager) error {
	c := pvprotection.NewPVProtectionController(klog.FromContext(m.ctx), m.informers.Core().V1().PersistentVolumes(), m.client)
	go c.Run(m.ctx, 1)
	return nil
}
