"""Real accounts for the tests that run as root: made with useradd, and taken away again."""

import contextlib
import grp
import os
import pwd
import subprocess
from typing import NamedTuple


class Accounts(NamedTuple):
    """A group, an account that is a member of it, and one that is not."""

    group: str
    submit_gid: int
    member: pwd.struct_passwd
    stranger: pwd.struct_passwd


def groups_of(account):
    """The ids of every group that the system has the account in."""
    return os.getgrouplist(account.pw_name, account.pw_gid)


@contextlib.contextmanager
def made_accounts():
    base = f"ord{os.getpid()}"
    group, member, stranger = (f"{base}{letter}" for letter in "gms")
    with contextlib.ExitStack() as undo:
        for make, unmake, name in (
            (("groupadd",), "groupdel", group),
            (("useradd", "--no-create-home", "--groups", group), "userdel", member),
            (("useradd", "--no-create-home"), "userdel", stranger),
        ):
            subprocess.run([*make, name], check=True)
            undo.callback(subprocess.run, [unmake, name], check=True)
        yield Accounts(
            group, grp.getgrnam(group).gr_gid, pwd.getpwnam(member), pwd.getpwnam(stranger)
        )
