"""Engines that keep their state in Larder. Each module is imported only by who has its engine."""
