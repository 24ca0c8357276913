# Arguments: the server's folder, seconds of idleness allowed, and the command that runs the server.
folder=$1
allowed=$2
shift 2
echo $$ >"$folder/keeper.pid"
"$@" >"$folder/log" 2>&1 &
server=$!
idle=0
while kill -0 "$server" 2>/dev/null; do
    sleep 1
    exec 8>>"$folder/start.lock" 9>>"$folder/users.lock"
    if flock -n 8 && flock -n 9; then
        idle=$((idle + 1))
    else
        idle=0
    fi
    if [ "$idle" -ge "$allowed" ]; then
        # Both locks are held: no test uses the server, and none can begin to.
        kill -TERM "$server"
        kill -QUIT "$server"
        wait "$server"
        rm -rf "$folder/run" "$folder/port" "$folder/keeper.pid"
        exit
    fi
    exec 8>&- 9>&-
done
