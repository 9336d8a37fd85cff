"""Where stages run: the scheduler and the executors that it drives."""
