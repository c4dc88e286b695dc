/* The python.exe of a Windows virtual environment, for tests.
 *
 * On Windows that file is no interpreter but a small program that starts the one which the environment was made from, as
 * a child of its own, and waits for it. A program that starts sys.executable there gets a process that is not Python:
 * what it does with that process's id must still reach the interpreter. The real one is part of no package that can be
 * had here, so this one behaves as it does:
 *
 *   the interpreter is named by `home` in pyvenv.cfg, and learns by __PYVENV_LAUNCHER__ for whom it stands;
 *   it inherits every handle that can be inherited, and the standard ones in any case;
 *   it ends when this process does, but what it starts itself does not: the job lets children break away;
 *   Ctrl-C and Ctrl-Break are for the interpreter, and its exit code is the one of this process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

enum { LONGEST = 32767, FAILED = 101 };

static void give_up(const char *what)
{
    fprintf(stderr, "redirector: %s, error %lu\n", what, GetLastError());
    exit(FAILED);
}

/* Cuts `count` names off the end of a path. */
static void go_up(wchar_t *path, int count)
{
    while (count-- > 0) {
        wchar_t *slash = wcsrchr(path, L'\\');
        if (slash == NULL)
            give_up("this program has no folder");
        *slash = L'\0';
    }
}

/* The folder of the interpreter, as pyvenv.cfg says beside the folder that this program is in. */
static wchar_t *find_home(const wchar_t *self)
{
    static wchar_t path[LONGEST], home[MAX_PATH];
    char line[2048];
    wcscpy(path, self);
    go_up(path, 2);
    wcscat(path, L"\\pyvenv.cfg");
    FILE *file = _wfopen(path, L"rb");
    if (file == NULL)
        give_up("pyvenv.cfg cannot be read");
    while (fgets(line, sizeof line, file) != NULL) {
        char *value = strchr(line, '=');
        if (value == NULL || strncmp(line, "home", 4) != 0)
            continue;
        value += 1 + strspn(value + 1, " ");
        value[strcspn(value, "\r\n")] = '\0';
        if (!MultiByteToWideChar(CP_UTF8, 0, value, -1, home, MAX_PATH))
            break;
        fclose(file);
        return home;
    }
    give_up("pyvenv.cfg has no `home`");
    return NULL;
}

/* What follows the name of the program on the command line, as it was typed. */
static const wchar_t *typed_arguments(void)
{
    const wchar_t *at = GetCommandLineW();
    BOOL in_quotes = FALSE;
    while (*at != L'\0' && (in_quotes || (*at != L' ' && *at != L'\t'))) {
        in_quotes ^= *at == L'"';
        at++;
    }
    return at;
}

static HANDLE make_job(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION info;
    HANDLE job = CreateJobObjectW(NULL, NULL);
    DWORD size;
    if (job == NULL || !QueryInformationJobObject(job, JobObjectExtendedLimitInformation, &info, sizeof info, &size))
        give_up("no job can be made");
    info.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &info, sizeof info))
        give_up("the job does not take its limits");
    return job;
}

static HANDLE standard(DWORD number)
{
    HANDLE handle = GetStdHandle(number), copy = NULL;
    HANDLE here = GetCurrentProcess();
    DuplicateHandle(here, handle, here, &copy, 0, TRUE, DUPLICATE_SAME_ACCESS);
    return copy;
}

static BOOL WINAPI leave_to_child(DWORD event)
{
    (void)event;
    return TRUE;
}

int wmain(void)
{
    static wchar_t self[LONGEST], command[LONGEST];
    PROCESS_INFORMATION interpreter;
    STARTUPINFOW startup;
    DWORD code = FAILED;

    GetModuleFileNameW(NULL, self, LONGEST);
    if (_snwprintf(command, LONGEST, L"\"%ls\\python.exe\"%ls", find_home(self), typed_arguments()) < 0)
        give_up("the command line is too long");
    SetEnvironmentVariableW(L"__PYVENV_LAUNCHER__", self);
    HANDLE job = make_job();
    SetConsoleCtrlHandler(leave_to_child, TRUE);
    GetStartupInfoW(&startup);
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = standard(STD_INPUT_HANDLE);
    startup.hStdOutput = standard(STD_OUTPUT_HANDLE);
    startup.hStdError = standard(STD_ERROR_HANDLE);
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &interpreter))
        give_up("the interpreter does not start");
    AssignProcessToJobObject(job, interpreter.hProcess);
    WaitForSingleObject(interpreter.hProcess, INFINITE);
    GetExitCodeProcess(interpreter.hProcess, &code);
    return (int)code;
}
