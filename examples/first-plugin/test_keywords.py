from nlpsuite.testing import TaskConformance


class TestKeywords(TaskConformance):
    task = "keywords"
