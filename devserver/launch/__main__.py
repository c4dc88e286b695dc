"""Starts one generation; it stands in a folder of its own so that no other file can be taken for a library's."""

import json
import os
import sys

if __name__ == "__main__":
    told = sys.argv[1]
    if sys.platform == "win32":
        import msvcrt

        pipe = os.fdopen(msvcrt.open_osfhandle(int(told), os.O_RDONLY), "rb")
    else:
        pipe = os.fdopen(int(told), "rb")
    sys.path[:] = json.loads(pipe.readline())
    from devserver.child import main

    main(pipe, sys.argv[2])
