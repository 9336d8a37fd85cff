"""Which calls have no side effect and which only configure: the lists behind "is this a setup cell".

Names are dotted as their modules have them, so that ``import numpy as xp`` makes no difference.
"""

from __future__ import annotations

from nbmlops.pattern import pattern

__all__ = [
    "BUILTIN_VALUES",
    "CALLING",
    "CONFIGURING",
    "CONFIGURING_TARGETS",
    "CONFIG_MAGICS",
    "FRONT_MAGIC",
    "FUNCTIONS",
    "MUTATING_METHODS",
    "PURE_BUILTINS",
    "PURE_METHODS",
    "SEEDED",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _dotted(text: str) -> frozenset[str]:
    """Expand lines of ``module: name name`` to dotted names."""
    found: set[str] = set()
    for line in text.strip().splitlines():
        module, _, names = line.strip().partition(":")
        found.update(f"{module}.{name}" for name in names.split())
    return frozenset(found)


PURE_BUILTINS = _words(
    """
    abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format
    frozenset getattr hasattr hash hex int isinstance issubclass len list map max min object oct ord pow range
    repr reversed round set slice sorted str sum tuple type zip
    """
)
BUILTIN_VALUES = frozenset({"Ellipsis", "NotImplemented", "__name__", "__doc__", "__debug__"})

# of str, bytes, numbers, dict, list, tuple, set, Path, datetime, Pattern and Decimal; those that change their
# object are below, and those that look at the clock (`now`, `today`) are nowhere
PURE_METHODS = _words(
    """
    capitalize casefold center count decode encode endswith expandtabs find format format_map index isalnum
    isalpha isascii isdecimal isdigit isidentifier islower isnumeric isspace istitle isupper join ljust lower lstrip
    maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split
    splitlines startswith strip swapcase title translate upper zfill hex fromhex
    copy fromkeys get items keys values difference intersection isdisjoint issubset issuperset
    symmetric_difference union most_common elements
    absolute as_posix as_uri expanduser is_absolute is_relative_to joinpath match relative_to resolve
    with_name with_stem with_suffix
    astimezone combine ctime date fromisoformat fromordinal fromtimestamp isocalendar isoformat isoweekday
    strftime strptime time timestamp timetuple toordinal total_seconds utcoffset weekday
    as_integer_ratio bit_length conjugate from_bytes is_integer quantize to_bytes
    fullmatch finditer findall search sub
    astype reshape tolist
    """
)

MUTATING_METHODS = _words("add append clear discard extend insert move_to_end pop popitem remove reverse setdefault sort update")


# functions and classes whose call only makes a value
FUNCTIONS = _dotted(
    """
    builtins: abs len max min round sorted sum
    collections: ChainMap Counter OrderedDict defaultdict deque namedtuple
    copy: copy deepcopy
    dataclasses: asdict astuple field fields make_dataclass replace
    datetime: date datetime time timedelta timezone
    datetime.datetime: combine fromisoformat fromtimestamp strptime
    datetime.date: fromisoformat fromordinal
    decimal: Decimal
    enum: Enum IntEnum auto
    fractions: Fraction
    functools: cache lru_cache partial reduce singledispatch total_ordering wraps
    importlib.util: find_spec
    importlib.metadata: version
    itertools: chain combinations permutations product repeat starmap takewhile dropwhile islice pairwise
    itertools.chain: from_iterable
    json: dumps loads
    logging: getLogger StreamHandler Formatter NullHandler
    math: ceil comb cos exp factorial floor fsum gcd hypot inf isclose log log10 log1p log2 pi pow prod radians sin sqrt tan
    operator: attrgetter itemgetter methodcaller
    os: cpu_count fspath getcwd getenv
    os.environ: get
    packaging.version: Version parse
    os.path: abspath basename dirname expanduser expandvars join normpath realpath relpath split splitext
    pathlib: Path PosixPath PurePath PurePosixPath PureWindowsPath
    pathlib.Path: cwd home
    platform: machine node platform python_version system
    re: compile escape
    string: Template
    sys: getrecursionlimit getsizeof
    types: MappingProxyType SimpleNamespace
    typing: NamedTuple NewType ParamSpec TypeVar TypeVarTuple TypedDict cast
    uuid: UUID
    zoneinfo: ZoneInfo
    numpy: arange array asarray bool_ datetime64 dtype exp eye finfo float16 float32 float64 full geomspace iinfo int16
    numpy: int32 int64 int8 linspace log log10 log1p logspace ones ones_like sqrt timedelta64 uint8 zeros zeros_like
    pandas: CategoricalDtype DateOffset Index Interval NaT Timedelta Timestamp bdate_range date_range
    pandas: IntervalIndex MultiIndex Period to_datetime to_timedelta
    tensorflow: get_logger
    torch: device
    torch.cuda: device_count is_available
    matplotlib.pyplot: get_cmap
    matplotlib.colors: ListedColormap
    seaborn: color_palette
    """
)

# makers of random generators: a value like any other if they are given a seed
SEEDED = _dotted(
    """
    numpy.random: Generator MT19937 PCG64 RandomState SeedSequence default_rng
    random: Random
    """
)

# functions above that call their first argument
CALLING = frozenset({"map", "filter", "functools.reduce", "itertools.starmap", "itertools.takewhile", "itertools.dropwhile"})

# functions that are called for what they set
CONFIGURING = _dotted(
    """
    IPython.core.pylabtools: figsize
    IPython.display: set_matplotlib_formats
    bokeh.io: output_notebook
    bokeh.plotting: output_notebook
    altair: data_transformers.disable_max_rows data_transformers.enable renderers.enable themes.enable theme.enable
    dask.config: set
    decimal: setcontext
    dotenv: load_dotenv
    faulthandler: enable
    gc: collect disable enable
    holoviews: extension
    jax: config.update
    keras.utils: set_random_seed
    locale: setlocale
    logging: addLevelName basicConfig captureWarnings disable
    matplotlib: rc rcParams.update rcdefaults style.use use
    matplotlib.pyplot: ioff ion rc rcParams.update rcdefaults style.use switch_backend
    matplotlib.style: use
    matplotlib_inline.backend_inline: set_matplotlib_formats
    mlflow: autolog enable_system_metrics_logging set_experiment set_registry_uri set_tracking_uri
    mlflow.lightgbm: autolog
    mlflow.pytorch: autolog
    mlflow.sklearn: autolog
    mlflow.tensorflow: autolog
    mlflow.xgboost: autolog
    nest_asyncio: apply
    numpy: seterr set_printoptions
    numpy.random: seed
    optuna.logging: disable_default_handler set_verbosity
    os: chdir environ.pop environ.setdefault environ.update putenv unsetenv
    pandas: reset_option set_option
    pandas.plotting: register_matplotlib_converters
    plotly.offline: init_notebook_mode
    polars.Config: set_fmt_str_lengths set_tbl_cols set_tbl_rows
    pyarrow: set_cpu_count
    random: seed
    panel: extension
    seaborn: despine set set_context set_palette set_style set_theme
    sklearn: set_config
    sys: path.append path.extend path.insert path.remove setrecursionlimit
    tensorflow.compat.v1.logging: set_verbosity
    tensorflow.keras.utils: set_random_seed
    tensorflow.random: set_seed
    time: tzset
    torch: manual_seed set_default_device set_default_dtype set_float32_matmul_precision set_num_threads
    torch: use_deterministic_algorithms
    torch.cuda: manual_seed manual_seed_all
    tqdm.auto.tqdm: pandas
    tqdm.tqdm: pandas
    transformers: set_seed
    transformers.logging: set_verbosity set_verbosity_error set_verbosity_info set_verbosity_warning
    warnings: catch_warnings filterwarnings resetwarnings simplefilter
    """
)

# objects whose attributes and items are settings: assigning below them configures
CONFIGURING_TARGETS = (
    "altair.renderers",
    "decimal.getcontext",
    "matplotlib.pyplot.rcParams",
    "matplotlib.rcParams",
    "os.environ",
    "pandas.options",
    "plotly.io.renderers",
    "plotly.io.templates",
    "sys.path",
    "torch.backends",
)

# line magics that load, show or set, and do nothing that takes time or depends on when it runs; %pip is none:
# every stage process would install again, several at once
CONFIG_MAGICS = _words(
    """
    aimport alias autoawait autocall automagic autoreload cd colors config env load_ext matplotlib pdb pprint
    precision pylab reload_ext set_env unload_ext xmode
    """
)

# nbmlops' own magics, which drive a pipeline and are no part of it
FRONT_MAGIC = pattern(
    r"ml(?:run|graph|check|status|why|load|verify|sweep|compare|models|promote|rollback|history|compile|store|track|doctor"
    r"|pipeline|runs|gates|register|report|cancel|help|open)"
)
