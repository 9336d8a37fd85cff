"""What functions of libraries do, by dotted name: draw without a seed, look at the clock, list folders, reach the network."""

from __future__ import annotations

from nbmlops.pattern import pattern

__all__ = [
    "ASKING",
    "CLOCKS",
    "CLOCKS_WITHOUT_ARGUMENTS",
    "CLOCK_WORDS",
    "DEEP_DRAWS",
    "DEEP_SEEDS",
    "DURATIONS",
    "ENTROPY",
    "ESTIMATORS",
    "GENERATORS",
    "GLOBAL_DRAWS",
    "GLOBAL_SEEDS",
    "LISTINGS",
    "LISTING_METHODS",
    "MACHINE",
    "NETWORK",
    "PATH_CALLS",
    "PROCESSES",
    "RANDOM_STATE",
    "SHOWING",
    "WIDGETS",
    "WORDS",
    "is_network",
]


def _dotted(text: str) -> frozenset[str]:
    """Expand lines of ``module: name name`` to dotted names; a line without a module holds names as they are."""
    found: set[str] = set()
    for line in text.strip().splitlines():
        module, colon, names = line.strip().partition(":")
        found.update(f"{module}.{name}" for name in names.split()) if colon else found.update(module.split())
    return frozenset(found)


GENERATORS = _dotted(
    """
    numpy.random: MT19937 PCG64 PCG64DXSM Philox RandomState SFC64 SeedSequence default_rng
    random: Random
    """
)
"""Makers of generators that take the system's entropy where they are given no seed."""

ENTROPY = _dotted(
    """
    os: urandom getrandom
    random: SystemRandom
    secrets: choice randbelow randbits token_bytes token_hex token_urlsafe SystemRandom
    uuid: uuid1 uuid4
    """
)
"""Functions that nothing can seed."""

GLOBAL_SEEDS = {"random.seed": "random", "numpy.random.seed": "numpy", "random.setstate": "random", "numpy.random.set_state": "numpy"}

GLOBAL_DRAWS = {
    **dict.fromkeys(
        _dotted(
            """
            random: betavariate binomialvariate choice choices expovariate gammavariate gauss getrandbits lognormvariate normalvariate
            random: paretovariate randbytes randint random randrange sample shuffle triangular uniform vonmisesvariate weibullvariate
            """
        ),
        "random",
    ),
    **dict.fromkeys(
        _dotted(
            """
            numpy.random: beta binomial bytes chisquare choice dirichlet exponential gamma geometric gumbel hypergeometric laplace
            numpy.random: logistic lognormal logseries multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f
            numpy.random: normal pareto permutation poisson power rand randint randn random random_integers random_sample ranf rayleigh
            numpy.random: sample shuffle standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform
            numpy.random: vonmises wald weibull zipf
            """
        ),
        "numpy",
    ),
}
"""Functions that draw from a global state, with the module that keeps it."""

RANDOM_STATE = _dotted(
    """
    sklearn.datasets: make_biclusters make_blobs make_checkerboard make_circles make_classification make_friedman1 make_friedman2
    sklearn.datasets: make_friedman3 make_gaussian_quantiles make_hastie_10_2 make_low_rank_matrix make_moons
    sklearn.datasets: make_multilabel_classification make_regression make_s_curve make_sparse_coded_signal make_sparse_uncorrelated
    sklearn.datasets: make_swiss_roll
    sklearn.feature_selection: mutual_info_classif mutual_info_regression
    sklearn.inspection: permutation_importance
    sklearn.model_selection: train_test_split permutation_test_score
    sklearn.utils: resample shuffle
    """
)
"""Functions that draw from numpy's global state unless they are given ``random_state``."""

ESTIMATORS = _dotted(
    """
    AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor BayesianGaussianMixture BernoulliRBM BisectingKMeans
    DecisionTreeClassifier DecisionTreeRegressor DictionaryLearning DummyClassifier ExtraTreeClassifier ExtraTreeRegressor
    ExtraTreesClassifier ExtraTreesRegressor FactorAnalysis FastICA GaussianMixture GaussianRandomProjection GradientBoostingClassifier
    GradientBoostingRegressor GroupShuffleSplit HalvingGridSearchCV HalvingRandomSearchCV HistGradientBoostingClassifier
    HistGradientBoostingRegressor IsolationForest IterativeImputer KMeans LatentDirichletAllocation MLPClassifier MLPRegressor
    MiniBatchKMeans MiniBatchNMF Nystroem PassiveAggressiveClassifier PassiveAggressiveRegressor Perceptron RANSACRegressor RBFSampler
    RandomForestClassifier RandomForestRegressor RandomTreesEmbedding RandomizedSearchCV RepeatedKFold RepeatedStratifiedKFold SGDClassifier
    SGDRegressor ShuffleSplit SparseRandomProjection SpectralClustering StratifiedShuffleSplit TSNE TheilSenRegressor TruncatedSVD ADASYN
    BorderlineSMOTE RandomOverSampler RandomUnderSampler SMOTE SMOTENC SVMSMOTE
    """
)
"""Classes of scikit-learn and imbalanced-learn that draw from numpy's global state unless they are given ``random_state``."""

DEEP_SEEDS = {
    **dict.fromkeys(_dotted("torch: manual_seed\ntorch.random: manual_seed set_rng_state\ntorch: set_rng_state"), "torch"),
    **dict.fromkeys(_dotted("lightning: seed_everything\npytorch_lightning: seed_everything\ntransformers: set_seed"), "torch"),
    **dict.fromkeys(_dotted("tensorflow.random: set_seed\ntensorflow.keras.utils: set_random_seed\nkeras.utils: set_random_seed"), "tensorflow"),
}

DEEP_DRAWS = {
    **dict.fromkeys(
        _dotted(
            """
            torch: bernoulli multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm
            torch.nn: Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d Embedding EmbeddingBag GRU LSTM Linear MultiheadAttention RNN
            torch.nn: Transformer TransformerEncoderLayer TransformerDecoderLayer
            torch.utils.data: random_split RandomSampler
            """
        ),
        "torch",
    ),
    **dict.fromkeys(
        _dotted(
            """
            tensorflow.random: categorical gamma normal poisson shuffle stateless truncated_normal uniform
            tensorflow.keras: Sequential
            keras: Sequential
            """
        ),
        "tensorflow",
    ),
}
"""Functions that draw from a state that nbmlops does not seed, with the library that keeps it."""

CLOCKS = _dotted(
    """
    datetime.datetime: now today utcnow
    datetime.date: today
    pandas.Timestamp: now today utcnow
    time: time time_ns
    arrow: now utcnow
    pendulum: now today tomorrow yesterday
    django.utils.timezone: now
    """
)
CLOCKS_WITHOUT_ARGUMENTS = _dotted("time: asctime ctime gmtime localtime strftime")
"""These look at the clock only if they are given no time; ``strftime`` wants a format first."""
CLOCK_WORDS = _dotted("pandas: Timestamp to_datetime\nnumpy: datetime64")
"""These look at the clock where they are given "now" or "today"."""
DURATIONS = _dotted("time: monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time\ntimeit: default_timer")

LISTINGS = _dotted("glob: glob iglob\nos: listdir scandir walk\nos.path: walk")
LISTING_METHODS = frozenset({"glob", "iterdir", "rglob"})

MACHINE = _dotted(
    """
    getpass: getuser
    multiprocessing: cpu_count
    os: cpu_count getlogin getpid getppid getuid times uname
    os.path: getatime getctime getmtime
    platform: architecture machine node platform processor release system uname version
    psutil: boot_time cpu_count cpu_percent disk_usage virtual_memory
    socket: getfqdn gethostname
    threading: get_ident
    uuid: getnode
    """
)

NETWORK = _dotted(
    """
    aiohttp: ClientSession request
    boto3: client resource
    datasets: load_dataset
    ftplib: FTP FTP_TLS
    gcsfs: GCSFileSystem
    gdown: download
    google.cloud.bigquery: Client
    google.cloud.storage: Client
    http.client: HTTPConnection HTTPSConnection
    huggingface_hub: hf_hub_download snapshot_download
    kagglehub: dataset_download
    nltk: download
    openml.datasets: get_dataset
    psycopg: connect
    psycopg2: connect
    pymysql: connect
    s3fs: S3FileSystem
    seaborn: load_dataset
    sklearn.datasets: fetch_20newsgroups fetch_20newsgroups_vectorized fetch_california_housing fetch_covtype fetch_file fetch_kddcup99
    sklearn.datasets: fetch_lfw_pairs fetch_lfw_people fetch_olivetti_faces fetch_openml fetch_rcv1 fetch_species_distributions
    smtplib: SMTP SMTP_SSL
    snowflake.connector: connect
    socket: create_connection socket
    statsmodels.datasets: get_rdataset
    tensorflow_datasets: load
    torch.hub: load load_state_dict_from_url
    urllib.request: Request urlopen urlretrieve
    urllib3: PoolManager request
    wget: download
    yfinance: Ticker download
    """
)
_NETWORK_MODULES = pattern(
    r"(?:requests|httpx)\.\w+$|(?:requests\.Session|httpx\.(?:Async)?Client)\(\)\.\w+$|(?:tensorflow\.)?keras\.datasets\.\w+\.load_data$"
)
_NO_NETWORK = pattern(r"(?:requests|httpx)\.(?:\w+(?:Error|Exception|Timeout|Auth|Limits)|codes|exceptions|utils|adapters)\b")

ASKING = _dotted("input\ngetpass: getpass\nbreakpoint\npdb: set_trace\nIPython: embed\nIPython.core.debugger: set_trace")
WIDGETS = pattern(r"ipywidgets\.(?:interact\w*|interactive\w*|[A-Z]\w+)|IPython\.html\.widgets\.\w+")

PROCESSES = _dotted(
    """
    os: popen system
    os: execv execve spawnl spawnv
    subprocess: Popen call check_call check_output getoutput getstatusoutput run
    """
)

PATH_CALLS = _dotted(
    """
    open pathlib.Path pathlib.PosixPath pathlib.PurePath os.listdir os.scandir os.walk os.chdir os.makedirs os.mkdir glob.glob glob.iglob
    os.path.join os.path.expanduser shutil.copy shutil.copyfile shutil.copytree shutil.move sqlite3.connect
    """
)
"""Functions whose first argument is a path, beside the readers and writers of `dataflow.files`."""

SHOWING = _dotted(
    """
    print display IPython.display.display pprint.pprint pprint.pp warnings.warn logging.debug logging.info logging.warning logging.error
    logging.exception logging.log logging.critical sys.stdout.write sys.stderr.write tqdm.tqdm.write tqdm.auto.tqdm.write rich.print
    """
)
"""Functions that show a value and keep nothing of it."""

_METHODS = frozenset({"sample", "rvs", "st_mtime", "st_ctime", "st_atime", "set", "frozenset", "hash", "id", "keys", *LISTING_METHODS})

WORDS = frozenset(
    name.rpartition(".")[2]
    for names in (
        *(GENERATORS, ENTROPY, GLOBAL_SEEDS, GLOBAL_DRAWS, RANDOM_STATE, ESTIMATORS, DEEP_SEEDS, DEEP_DRAWS),
        *(CLOCKS, CLOCKS_WITHOUT_ARGUMENTS, CLOCK_WORDS, DURATIONS, LISTINGS, MACHINE, NETWORK, ASKING, PROCESSES, _METHODS),
    )
    for name in names
) | {
    "requests",
    "httpx",
    "keras",
    "fetch_openml",
    "ipywidgets",
    "widgets",
    "interact",
    "load_data",
    "exec",
    "eval",
    "user_ns",
    "get_ipython",
    "f_globals",
    "run_path",
}
"""The last names of all of the above: code without any of these words is of no interest."""


def is_network(name: str) -> bool:
    """Tell whether calling a function, by dotted name, reaches the network."""
    return name in NETWORK or (_NETWORK_MODULES.match(name) is not None and _NO_NETWORK.match(name) is None)
